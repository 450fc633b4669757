//! The sample app on another host, over TLS with certificates on both sides.

use lifeboat_testkit::remote::ENGINE_ADDRESS;
use lifeboat_testkit::sample_app::{Acked, SampleApp, diff};

use super::{Elsewhere, ended, helpers};
use crate::support::{Lab, began};
use crate::tiny::{self, IDLE, says, stdout};

#[test]
fn a_lost_app_comes_back_on_another_host() {
    let lab = Lab::new();
    lab.init();
    let engine = lab.engine("a");
    let app = SampleApp::create(&engine, &lab.path("shop")).unwrap();
    app.wait_ready(&engine).unwrap();
    let report = lab.json(Some(&engine), &["backup", "--all"], 0);
    let point = report["protected"][0].clone();
    let before = app.fingerprint(&engine).unwrap();
    let acked = app.acked().unwrap();
    engine.destroy().unwrap();
    app.remove_files().unwrap();

    let far = Elsewhere::start(&lab, "b");
    let plan = ended(&mut far.command(&lab, &["restore", "shop", "--dry-run"]), 0);
    assert!(
        stdout(&plan).contains("through the engine"),
        "{}",
        stdout(&plan)
    );
    let restored = far.json(&lab, &["restore", "shop"], 0);
    assert_eq!(restored["stopped"], serde_json::json!(["shop-migrate-1"]));
    far.json(&lab, &["restore", "volume:attic"], 0);
    app.wait_ready(&far.engine).unwrap();
    let promised = Acked::before(&acked, began(&point));
    assert!(!promised.is_empty());
    app.verify_recovered(&far.engine, &promised).unwrap();
    let differences = diff(&before, &app.fingerprint(&far.engine).unwrap());
    assert!(differences.is_empty(), "{}", differences.join("\n"));
    assert_eq!(helpers(&far.engine), Vec::<String>::new());
    assert_eq!(lab.begun(), Vec::<String>::new());
}

#[test]
fn both_sides_have_to_know_each_other() {
    let lab = Lab::new();
    lab.init();
    let engine = tiny::engine(&lab, "a");
    tiny::run(&engine, "one", IDLE, &["data:/data"]);
    lab.run(Some(&engine), &["backup", "one"], 0);
    engine.destroy().unwrap();
    let far = Elsewhere::start(&lab, "b");
    let certs = &far.certificates;
    for (folder, words) in [
        (&certs.misled, "not signed by the CA"),
        (&certs.nobody, "wants to know who we are"),
        (&certs.stranger, "does not accept our certificate"),
    ] {
        let output = ended(&mut far.command_as(&lab, folder, &["restore", "one"]), 1);
        says(&output, &[words, &format!("https://{ENGINE_ADDRESS}:2376")]);
    }
    // The right files, and a name that is not in the certificate.
    let mut command = far.command(
        &lab,
        &["--engine", "tcp://localhost:2376", "restore", "one"],
    );
    says(&ended(&mut command, 1), &["no container engine answers"]);
    // No TLS at all: refused by us, then by the engine.
    let plain = format!("tcp://{ENGINE_ADDRESS}:2376");
    let mut command = far.command(&lab, &["--engine", &plain, "restore", "one"]);
    command.env_remove("DOCKER_TLS_VERIFY");
    says(&ended(&mut command, 2), &["--allow-plain-tcp", "plain TCP"]);
    let mut command = far.command(
        &lab,
        &["--engine", &plain, "--allow-plain-tcp", "restore", "one"],
    );
    command.env_remove("DOCKER_TLS_VERIFY");
    says(
        &ended(&mut command, 1),
        &["it wants TLS", "DOCKER_TLS_VERIFY"],
    );
    // What reads the files of the engine's host says that it has to run there.
    for args in [&["apps"][..], &["backup", "one"][..]] {
        let output = ended(&mut far.command(&lab, args), 1);
        says(&output, &["run lifeboat on that host"]);
    }
    assert_eq!(helpers(&far.engine), Vec::<String>::new());
    // And a context that has them all.
    let context = lab.path("docker/contexts");
    fs_err::create_dir_all(context.join("meta/x")).unwrap();
    let meta = format!(
        r#"{{"Name":"far","Metadata":{{}},"Endpoints":{{"docker":{{"Host":"{plain}","SkipTLSVerify":false}}}}}}"#
    );
    fs_err::write(context.join("meta/x/meta.json"), meta).unwrap();
    fs_err::create_dir_all(context.join("tls/x/docker")).unwrap();
    for name in ["ca.pem", "cert.pem", "key.pem"] {
        fs_err::copy(
            certs.client.join(name),
            context.join("tls/x/docker").join(name),
        )
        .unwrap();
    }
    let mut command = lab.command(None, &["--context", "far", "restore", "one"]);
    command.env("DOCKER_CONFIG", lab.path("docker"));
    ended(&mut far.there(&command), 0);
    assert!(tiny::runs(&far.engine, "one"));
}
