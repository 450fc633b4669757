use super::*;
use crate::{ExposeSecret, access::AwsProfile};

struct Home(tempfile::TempDir);

impl Home {
    fn new(credentials: &str, config: &str) -> Self {
        let dir = tempfile::tempdir().unwrap();
        fs_err::write(dir.path().join("credentials"), credentials).unwrap();
        fs_err::write(dir.path().join("config"), config).unwrap();
        Self(dir)
    }

    fn s3(&self, name: Option<&str>) -> S3Access {
        S3Access {
            profile: AwsProfile {
                name: name.map(str::to_owned),
                credentials: Some(self.0.path().join("credentials")),
                config: Some(self.0.path().join("config")),
            },
            ..S3Access::default()
        }
    }

    fn said(&self, name: Option<&str>) -> String {
        completed(&self.s3(name)).map(drop).unwrap_err().to_string()
    }
}

fn secret(all: &Completed) -> Option<&str> {
    all.secret.as_ref().map(|secret| secret.expose_secret())
}

const CREDENTIALS: &str = "\u{feff}# mine
[default]
aws_access_key_id = ONE
aws_secret_access_key=s3cr3t/+==  # not this

[other one]
  AWS_ACCESS_KEY_ID\t=\tTWO
  aws_secret_access_key = two#two
  aws_session_token = token;too
";
const CONFIG: &str = "[default]
region = eu-central-1
s3 =
  max_concurrent_requests = 20
  addressing_style path
output = json
[profile 'other one']
region = eu-west-1
aws_access_key_id = NOT
aws_secret_access_key = this
[profile half]
aws_access_key_id = HALF
[profile sso]
sso_session = work
[sso-session work]
sso_start_url = https://example.awsapps.com/start
[profile asks]
credential_process = /bin/keys
[profile role]
role_arn = arn:aws:iam::1:role/r
source_profile = default
[profile pod]
role_arn = arn:aws:iam::1:role/r
web_identity_token_file = /run/token
[profile place]
region = us-west-2
";

#[test]
fn the_default_and_a_named_profile() {
    let home = Home::new(CREDENTIALS, CONFIG);
    let all = completed(&home.s3(None)).unwrap();
    assert_eq!(all.key_id.as_deref(), Some("ONE"));
    assert_eq!(secret(&all), Some("s3cr3t/+=="));
    assert!(all.session_token.is_none());
    assert_eq!(all.profile_region.as_deref(), Some("eu-central-1"));

    // Each pair from one file, whatever the other says.
    let all = completed(&home.s3(Some("other one"))).unwrap();
    assert_eq!(all.key_id.as_deref(), Some("TWO"));
    assert_eq!(secret(&all), Some("two#two"));
    assert_eq!(all.session_token.unwrap().expose_secret(), "token;too");
    assert_eq!(all.profile_region.as_deref(), Some("eu-west-1"));

    let all = completed(&home.s3(Some("pod"))).unwrap();
    assert_eq!(all.web_identity.unwrap().0, Path::new("/run/token"));
}

#[test]
fn the_environment_comes_first_and_mixes_with_nothing() {
    let home = Home::new(CREDENTIALS, CONFIG);
    let mut s3 = home.s3(Some("other one"));
    s3.key_id = Some("ENV".to_owned());
    s3.secret = Some(SecretString::from("of the environment"));
    let all = completed(&s3).unwrap();
    assert_eq!(all.key_id.as_deref(), Some("ENV"));
    assert!(all.session_token.is_none());
    assert_eq!(all.region, None);
    assert_eq!(all.profile_region.as_deref(), Some("eu-west-1"));

    // Half a pair is completed by nobody.
    s3.secret = None;
    assert!(completed(&s3).unwrap().secret.is_none());

    // A token without keys belongs to no profile.
    let mut s3 = home.s3(None);
    s3.session_token = Some(SecretString::from("old"));
    s3.web_identity = Some((PathBuf::from("/token"), "role".to_owned()));
    let all = completed(&s3).unwrap();
    assert_eq!(
        (all.key_id.as_deref(), all.session_token.is_none()),
        (Some("ONE"), true)
    );

    // No keys in the profile: the web identity, and what comes after it.
    s3.profile.name = Some("place".to_owned());
    let all = completed(&s3).unwrap();
    assert!(all.key_id.is_none() && all.web_identity.is_some());
    assert_eq!(all.profile_region.as_deref(), Some("us-west-2"));
}

#[test]
fn no_files_are_no_profile_unless_one_was_named() {
    let home = Home::new("", "");
    let mut s3 = home.s3(None);
    s3.profile.credentials = Some(home.0.path().join("no/credentials"));
    assert!(completed(&s3).unwrap().key_id.is_none());
    s3.profile.name = Some("prod".to_owned());
    let said = completed(&s3).map(drop).unwrap_err().to_string();
    for word in ["`prod`", "no/credentials", "config", "mend the name"] {
        assert!(said.contains(word), "{said}");
    }
    s3.profile = AwsProfile {
        name: Some("prod".to_owned()),
        ..AwsProfile::default()
    };
    let said = completed(&s3).map(drop).unwrap_err().to_string();
    assert!(said.contains("HOME"), "{said}");
    // In `config` a headline without `profile` names none.
    let home = Home::new("", "[prod]\nregion = x");
    assert!(home.said(Some("prod")).contains("is not in"));
}

#[test]
fn what_others_would_have_to_do_is_said_and_not_passed_over() {
    let home = Home::new(CREDENTIALS, CONFIG);
    for (name, word) in [
        ("sso", "single sign-on"),
        ("asks", "credential_process"),
        ("role", "source_profile"),
    ] {
        let said = home.said(Some(name));
        assert!(
            said.contains(word) && said.contains("export-credentials --profile"),
            "{said}"
        );
        // Not even where there would be another way.
        let mut s3 = home.s3(Some(name));
        s3.web_identity = Some((PathBuf::from("/token"), "role".to_owned()));
        assert!(completed(&s3).is_err());
    }
    assert!(home.said(Some("half")).contains("no aws_secret_access_key"));
}

#[test]
fn a_line_that_is_none_is_counted_and_not_shown() {
    for (credentials, line) in [
        ("[default]\nhunter2\n", 2),
        ("# c\n\n[default\naws_access_key_id = x", 3),
        ("hunter2", 1),
    ] {
        let said = Home::new(credentials, "").said(None);
        assert!(said.contains(&format!("line {line} of ")), "{said}");
        assert!(
            said.contains("/credentials") && !said.contains("hunter2"),
            "{said}"
        );
    }
    // With keys of its own nobody has to mend it.
    let home = Home::new("hunter2", "");
    let mut s3 = home.s3(None);
    s3.key_id = Some("ENV".to_owned());
    s3.secret = Some(SecretString::from("x"));
    assert_eq!(completed(&s3).unwrap().key_id.as_deref(), Some("ENV"));
}

#[test]
fn a_file_without_end_is_refused() {
    let home = Home::new("", "");
    let mut s3 = home.s3(None);
    s3.profile.credentials = Some(PathBuf::from("/dev/zero"));
    let said = completed(&s3).map(drop).unwrap_err().to_string();
    assert!(said.contains("/dev/zero has more than"), "{said}");
    s3.profile.credentials = Some(home.0.path().to_owned());
    assert!(completed(&s3).is_err());
}

#[test]
fn any_bytes_are_a_profile_or_a_line_number() {
    // No secret hangs on this randomness; it is the same each time.
    let mut state = 7_u64;
    for _ in 0..2000 {
        let mut bytes = Vec::new();
        for _ in 0..40 {
            state = state
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1);
            bytes.push(b"[]= \t\n#;\"'ab\xff"[(state >> 33) as usize % 13]);
        }
        for kind in [Kind::Credentials, Kind::Config] {
            if let Err(line) = parse(&bytes, kind, "a") {
                assert!((1..=41).contains(&line));
            }
        }
    }
}
