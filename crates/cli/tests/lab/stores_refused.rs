//! Stores that refuse in the middle of a backup: the sentence of each, and nothing lost. What no server here says by
//! itself, a stand-in says in its place ([`Between`]); the bucket that goes is a real one.

use lifeboat_testkit::server::{Answer, Between, S3Server, Then};

use crate::{
    stores::{Remote, same, tree},
    support::Lab,
    tiny::{says, stderr},
};

fn backup(remote: &Remote) -> std::process::Command {
    let data = remote.lab.path("data");
    remote.command(None, &["backup", "--path", data.to_str().unwrap()])
}

/// The same command once more, and everything is there.
fn goes_on(remote: &Remote) {
    let output = backup(remote).output().unwrap();
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    remote.run(None, &["check", "--read-data"], 0);
    let (data, out) = (remote.lab.path("data"), remote.lab.path("out"));
    let target = out.to_str().unwrap();
    remote.run(None, &["restore", "latest", "--target", target], 0);
    same(&data, &out.join(data.strip_prefix("/").unwrap()));
    fs_err::remove_dir_all(&out).unwrap();
}

#[test]
fn stores_that_refuse_half_way_say_why() {
    let lab = Lab::new();
    let server = S3Server::start(&lab.path("s3")).unwrap();
    let between = Between::start(server.port()).unwrap();
    let mut remote = Remote::s3(&lab, &server);
    remote.place = between.place(&remote.place);
    remote.init();
    tree(&lab.path("data"));
    let answer = |status, code, more| Answer { status, code, more };
    for (number, (answer, words)) in [
        (
            answer("400 Bad Request", "ExpiredToken", ""),
            ["the credentials have expired", "get new ones"],
        ),
        (
            answer("403 Forbidden", "RequestTimeTooSkewed", ""),
            ["the clock of this machine is not the store's", "NTP"],
        ),
        (
            answer(
                "400 Bad Request",
                "AuthorizationHeaderMalformed",
                "<Region>eu-central-1</Region>",
            ),
            [
                "the bucket lies in the region eu-central-1",
                "AWS_REGION=eu-central-1",
            ],
        ),
        (
            answer("301 Moved Permanently", "PermanentRedirect", ""),
            ["it lies in another region", "set AWS_REGION"],
        ),
        (
            answer("403 Forbidden", "AccessDenied", ""),
            ["permission denied", "the store refused to"],
        ),
    ]
    .into_iter()
    .enumerate()
    {
        // Something new to send each time.
        let noise = crate::tiny::noise(6_000_000, 101 + 2 * number as u64);
        fs_err::write(lab.path("data/new"), noise).unwrap();
        between.after(3_000_000, Then::Answer(answer));
        let output = backup(&remote).output().unwrap();
        assert_eq!(output.status.code(), Some(1), "{}", stderr(&output));
        says(&output, &words);
        // At the very first request as well.
        says(&remote.run(None, &["points"], 1), &words[..1]);
        between.go_on();
        goes_on(&remote);
    }
}

#[test]
fn stores_whose_bucket_goes_half_way_say_so() {
    let lab = Lab::new();
    let mut server = S3Server::start(&lab.path("s3")).unwrap();
    let between = Between::start(server.port()).unwrap();
    let mut remote = Remote::s3(&lab, &server);
    remote.place = between.place(&remote.place);
    remote.init();
    tree(&lab.path("data"));
    between.after(3_000_000, Then::Hold);
    let mut command = backup(&remote);
    command.stdout(std::process::Stdio::piped());
    command.stderr(std::process::Stdio::piped());
    let child = command.spawn().unwrap();
    between.is_holding();
    let aside = lab.path("aside");
    // Else what it is at would make the folder again.
    server.server.kill();
    fs_err::rename(server.bucket(), &aside).unwrap();
    server.server.start_again().unwrap();
    between.go_on();
    let output = child.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(1), "{}", stderr(&output));
    says(&output, &["no such bucket", "create it first"]);
    fs_err::rename(&aside, server.bucket()).unwrap();
    goes_on(&remote);
}
