use crate::host::{Host, stderr, stdout};

#[test]
fn help_names_every_command_and_exit_code() {
    let host = Host::new();
    let help = stdout(&host.run("--help").success());
    for word in [
        "apps",
        "init",
        "backup",
        "points",
        "restore",
        "ls",
        "check",
        "repair",
        "completion",
    ] {
        assert!(help.contains(&format!("\n  {word} ")), "{word}: {help}");
    }
    for code in [
        "10 no vault",
        "11 vault locked",
        "12 wrong password",
        "130 interrupted",
    ] {
        assert!(help.contains(code), "{code}: {help}");
    }
    assert!(
        !help.contains("__watchdog") && !help.contains("state-dir"),
        "{help}"
    );
}

#[test]
fn help_does_not_show_what_the_environment_holds() {
    let host = Host::new();
    let mut command = host.lifeboat();
    let assert = command
        .env("LIFEBOAT_PASSWORD", "s3cr3t-w0rd")
        .args(["init", "--help"])
        .assert()
        .success();
    assert!(!stdout(&assert).contains("s3cr3t-w0rd"));
}

#[test]
fn without_arguments_the_help_is_on_standard_error() {
    let assert = Host::new().run("").code(2);
    assert!(stderr(&assert).contains("Usage: lifeboat"));
    assert_eq!(stdout(&assert), "");
}

#[test]
fn a_misspelt_command_is_answered_with_what_was_meant() {
    let assert = Host::new().run("bakup --all").code(2);
    let text = stderr(&assert);
    assert!(
        text.contains("bakup") && text.contains("'backup'"),
        "{text}"
    );
}

#[test]
fn completion_for_every_shell() {
    let host = Host::new();
    for (shell, word) in [
        ("bash", "_lifeboat()"),
        ("zsh", "#compdef lifeboat"),
        ("fish", "complete -c lifeboat"),
    ] {
        let script = stdout(&host.run(&format!("completion {shell}")).success());
        assert!(script.contains(word), "{shell}");
        assert!(script.contains("retry-lock"), "{shell}");
    }
    host.run("completion csh").code(2);
}

#[test]
fn a_manual_page_for_every_command() {
    let host = Host::new();
    host.run("man pages").success();
    for page in ["lifeboat.1", "lifeboat-restore.1", "lifeboat-backup.1"] {
        let text = fs_err::read_to_string(host.path("pages").join(page)).unwrap();
        assert!(text.contains(".TH"), "{page}");
    }
}
