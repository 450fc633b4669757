use super::*;

fn folder(path: &Path, content: &str) {
    fs_err::create_dir_all(path).unwrap();
    fs_err::write(path.join("f"), content).unwrap();
}

fn content(path: &Path) -> String {
    fs_err::read_to_string(path.join("f")).unwrap()
}

fn pair(dir: &Path) -> Pair {
    let (target, aside) = (dir.join("data"), super::aside(&dir.join("data"), "1a"));
    folder(&target, "old");
    folder(&aside, "new");
    Pair::seal(&target, &aside).unwrap()
}

#[test]
fn they_change_places_and_back_again_as_often_as_one_likes() {
    let dir = tempfile::tempdir().unwrap();
    let pair = pair(dir.path());
    let (target, aside) = (&pair.target, pair.aside.clone());
    assert_eq!(settle(target, aside.clone(), "1a").unwrap(), aside);
    assert_eq!(place(target, aside.clone(), "1a").unwrap(), Ok(aside));
    for _ in 0..2 {
        assert_eq!(pair.lies().unwrap(), Lies::Old);
        pair.exchange(&|_| {}).unwrap();
        pair.exchange(&|_| {}).unwrap();
        assert_eq!(
            (content(&pair.target), content(&pair.aside)),
            ("new".to_owned(), "old".to_owned())
        );
        // A crash leaves the journal, and the folders tell the rest.
        let text = serde_json::to_string(&pair).unwrap();
        let again: Pair = serde_json::from_str(&text).unwrap();
        assert_eq!(again.lies().unwrap(), Lies::New);
        again.put_back(&|_| {}).unwrap();
        again.put_back(&|_| {}).unwrap();
        assert_eq!(content(&pair.target), "old");
    }
}

#[test]
fn a_stranger_is_never_moved() {
    let dir = tempfile::tempdir().unwrap();
    let pair = pair(dir.path());
    fs_err::rename(&pair.target, dir.path().join("kept")).unwrap();
    folder(&pair.target, "stranger");
    for refused in [pair.exchange(&|_| {}), pair.put_back(&|_| {})] {
        let sentence = refused.unwrap_err().to_string();
        assert!(sentence.contains("somebody else"), "{sentence}");
    }
    assert_eq!(content(&pair.target), "stranger");
    assert_eq!(content(&pair.aside), "new");
}

#[test]
fn where_nothing_was_nothing_is_afterwards() {
    let dir = tempfile::tempdir().unwrap();
    let (target, aside) = (dir.path().join("data"), dir.path().join(".new"));
    folder(&aside, "new");
    let pair = Pair::seal(&target, &aside).unwrap();
    assert!(!pair.had_old());
    pair.exchange(&|_| {}).unwrap();
    pair.exchange(&|_| {}).unwrap();
    assert_eq!(content(&target), "new");
    pair.put_back(&|_| {}).unwrap();
    assert!(!target.exists());
    assert_eq!(content(&aside), "new");
    fs_err::write(&target, "somebody's").unwrap();
    pair.exchange(&|_| {}).unwrap_err();
    assert_eq!(fs_err::read_to_string(&target).unwrap(), "somebody's");
}

#[test]
fn single_files_change_places_too() {
    let dir = tempfile::tempdir().unwrap();
    let target = dir.path().join("app.conf");
    let aside = super::aside(&target, "1a");
    fs_err::write(&target, "old").unwrap();
    fs_err::write(&aside, "new").unwrap();
    let pair = Pair::seal(&target, &aside).unwrap();
    pair.exchange(&|_| {}).unwrap();
    assert_eq!(fs_err::read_to_string(&target).unwrap(), "new");
    remove_tree(&aside).unwrap();
    // Whoever took the old one away did so for ever.
    pair.put_back(&|_| {}).unwrap_err();
    assert_eq!(fs_err::read_to_string(&target).unwrap(), "new");
}

#[test]
fn a_link_is_no_place_and_a_mount_point_is_one_by_itself() {
    let dir = tempfile::tempdir().unwrap();
    let link = dir.path().join("link");
    fs_err::os::unix::fs::symlink("/", &link).unwrap();
    assert!(place(&link, aside(&link, "1a"), "1a").unwrap().is_err());
    let proc = place(Path::new("/proc"), aside(Path::new("/proc"), "1a"), "1a").unwrap();
    assert_eq!(proc, Ok(PathBuf::from("/proc/.lifeboat-aside-1a/new")));
    let above = place(Path::new("/"), PathBuf::from("/.x"), "1a").unwrap();
    assert!(above.unwrap_err().contains("mounted in it"));
}

#[test]
fn a_volume_has_its_place_in_the_data_root() {
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path().join("docker/volumes/db/_data");
    fs_err::create_dir_all(&data).unwrap();
    let place = aside_of_volume(&data, "db", "1a");
    assert_eq!(place, dir.path().join("docker/lifeboat-aside/1a/db"));
    make_room(&place).unwrap();
    leave_room(&place);
    assert!(!dir.path().join("docker/lifeboat-aside").exists());
    // Elsewhere it lies beside, as a bind does.
    let other = dir.path().join("elsewhere");
    let beside = aside_of_volume(&other, "db", "1a");
    assert_eq!(beside, dir.path().join(".elsewhere.lifeboat-aside-1a"));
    let long = dir.path().join("x".repeat(250));
    assert!(aside(&long, "1a").file_name().unwrap().len() < 60);
}

/// What lies in a folder, in order, but what is ours; with what its files say.
fn listed(path: &Path) -> Vec<String> {
    let mut found = Vec::new();
    for entry in fs_err::read_dir(path).unwrap() {
        let entry = entry.unwrap();
        let name = entry.file_name().into_string().unwrap();
        if name.starts_with(OURS_WITHIN) {
            continue;
        }
        let text = fs_err::read_to_string(entry.path()).unwrap_or_default();
        found.push(format!("{name}={text}"));
    }
    found.sort();
    found
}

/// Runs it until its step number `at`, where it dies; `true` if it came to its end before.
fn dies(at: usize, run: impl Fn(&dyn Fn(&str))) -> bool {
    let seen = std::cell::Cell::new(0);
    let step = |_: &str| {
        seen.set(seen.get() + 1);
        assert!(seen.get() <= at, "dies");
    };
    std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| run(&step))).is_ok()
}

/// Killed at every step on the way and on the way back, either way ends it.
fn ends_either_way(pair: &Pair, look: impl Fn() -> Vec<String>) {
    let (old, quiet) = (look(), |_: &str| {});
    pair.exchange(&quiet).unwrap();
    let new = look();
    assert_ne!(old, new);
    assert!(pair.is_through().unwrap() && pair.lies().unwrap() == Lies::New);
    assert!(lying(&pair.aside) == pair.old_aside() && pair.old_aside().exists());
    pair.put_back(&quiet).unwrap();
    assert_eq!(look(), old);
    let mut steps = 0;
    while !dies(steps, |step| pair.exchange(step).unwrap()) {
        let at = format!("killed at {steps}");
        pair.put_back(&quiet).unwrap();
        assert_eq!(
            (look(), lying(&pair.aside)),
            (old.clone(), pair.aside.clone()),
            "{at}"
        );
        dies(steps, |step| pair.exchange(step).unwrap());
        pair.exchange(&quiet).unwrap();
        assert_eq!(look(), new, "{at}");
        dies(steps, |step| pair.put_back(step).unwrap());
        pair.put_back(&quiet).unwrap();
        assert_eq!(look(), old, "{at}, on the way back");
        steps += 1;
    }
    assert!(steps > 3, "{steps} steps");
    pair.exchange(&quiet).unwrap();
}

#[test]
fn entries_change_places_in_a_folder_that_stays() {
    use std::os::unix::fs::PermissionsExt;
    let dir = tempfile::tempdir().unwrap();
    let target = dir.path().join("disk");
    let mode = |path: &Path, mode| {
        fs_err::set_permissions(path, std::fs::Permissions::from_mode(mode)).unwrap();
    };
    let put = |place: &Path, files: &[(&str, &str)]| {
        fs_err::create_dir_all(place.join("below")).unwrap();
        for (name, text) in files {
            fs_err::write(place.join(name), text).unwrap();
        }
    };
    put(
        &target,
        &[("both", "old"), ("gone", "old"), ("below/x", "old")],
    );
    fs_err::create_dir(target.join(".lifeboat-aside-before")).unwrap();
    fs_err::create_dir(target.join("lost+found")).unwrap();
    mode(&target, 0o700);
    let aside = place_within(&target, "1a");
    make_room(&aside).unwrap();
    put(
        &aside,
        &[("both", "new"), ("come", "new"), ("below/x", "new")],
    );
    fs_err::create_dir(aside.join("lost+found")).unwrap();
    mode(&aside, 0o751);
    let pair = Pair::seal(&target, &aside).unwrap();
    assert!(pair.how() == How::Within && pair.is_ready());
    let folder = which(&target).unwrap();
    ends_either_way(&pair, || {
        let mut found = listed(&target);
        found.extend(listed(&target.join("below")));
        let mode = fs_err::metadata(&target).unwrap().permissions().mode();
        found.push(format!("{:o}", mode & 0o7777));
        found
    });
    assert_eq!(
        listed(&target),
        ["below=", "both=new", "come=new", "lost+found="]
    );
    assert_eq!(which(&target).unwrap(), folder);
    assert!(target.join(".lifeboat-aside-before").exists());
    assert_eq!(
        listed(&pair.old_aside()),
        ["below=", "both=old", "gone=old"]
    );
    assert_eq!(hidden(&pair.aside), [target.join(".lifeboat-aside-1a")]);
    remove_tree(&pair.old_aside()).unwrap();
    leave_room(&pair.old_aside());
    assert!(!target.join(".lifeboat-aside-1a").exists());
}

#[test]
fn a_name_that_somebody_takes_is_never_overwritten() {
    let dir = tempfile::tempdir().unwrap();
    let target = dir.path().join("disk");
    folder(&target, "old");
    let aside = place_within(&target, "1a");
    folder(&aside, "new");
    let pair = Pair::seal(&target, &aside).unwrap();
    dies(3, |step| pair.exchange(step).unwrap());
    assert_eq!(listed(&target), Vec::<String>::new());
    fs_err::write(target.join("f"), "theirs").unwrap();
    for refused in [pair.exchange(&|_| {}), pair.put_back(&|_| {})] {
        let sentence = refused.unwrap_err().to_string();
        assert!(sentence.contains("move it away"), "{sentence}");
    }
    assert_eq!(content(&target), "theirs");
    fs_err::remove_file(target.join("f")).unwrap();
    pair.put_back(&|_| {}).unwrap();
    assert_eq!(content(&target), "old");
    // Another disk, or none, at the same place.
    fs_err::rename(&target, dir.path().join("unplugged")).unwrap();
    fs_err::create_dir(&target).unwrap();
    let sentence = pair.exchange(&|_| {}).unwrap_err().to_string();
    assert!(sentence.contains("still mounted"), "{sentence}");
}

#[test]
fn a_file_is_copied_over_and_stays_the_same_file() {
    let dir = tempfile::tempdir().unwrap();
    let target = dir.path().join("app.conf");
    let mut aside = super::aside(&target, "1a").into_os_string();
    aside.push(COPIED);
    let aside = PathBuf::from(aside);
    fs_err::write(&target, "o".repeat(5 << 20)).unwrap();
    fs_err::write(&aside, "n".repeat(3 << 20)).unwrap();
    let pair = Pair::seal(&target, &aside).unwrap();
    assert!(pair.how() == How::Copied && pair.is_ready());
    let file = which(&target).unwrap();
    ends_either_way(&pair, || {
        let text = fs_err::read(&target).unwrap();
        let one = text.iter().all(|b| *b == text[0]);
        vec![format!("{} {} {one}", text[0], text.len())]
    });
    assert_eq!(which(&target).unwrap(), file);
    assert_eq!(fs_err::metadata(pair.old_aside()).unwrap().len(), 5 << 20);
    assert_eq!(hidden(&aside), [aside.clone(), pair.old_aside()]);
}
