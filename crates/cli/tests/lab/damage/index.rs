//! The index alone is damaged or gone: everything comes back, and `repair index` mends it.

use super::*;

/// What has been done to the index.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Index {
    Flipped,
    Empty,
    Gone,
}

/// Spoils every index file. Returns their names.
fn spoil(vault: &Path, how: Index) -> Vec<String> {
    let index = files(vault, "index");
    assert!(index.len() > 1, "{index:?}");
    for file in &index {
        match how {
            Index::Flipped => flip(file, 40),
            Index::Empty => fs_err::write(file, "").unwrap(),
            Index::Gone => fs_err::remove_file(file).unwrap(),
        }
    }
    let name = |path: &PathBuf| path.file_name().unwrap().to_str().unwrap().to_owned();
    index.iter().map(name).collect()
}

/// A warning says what is damaged and how to mend it.
fn warned(output: &Output, names: &[String]) {
    let text = stderr(output);
    for word in names
        .iter()
        .map(String::as_str)
        .chain(["lifeboat repair index"])
    {
        assert!(text.contains(word), "no `{word}` in: {text}");
    }
}

/// Whole again, for restic as well.
fn mended(lab: &Lab) {
    lab.run(None, &["check", "--read-data"], 0);
    let text = lab.restic(&["check", "--read-data"]);
    assert!(text.contains("no errors were found"), "{text}");
}

impl Two {
    /// Both snapshots come back whole.
    fn both_are_whole(&self, to: &str) -> Output {
        let ids = [self.id(0), self.id(1)];
        self.first_is_whole(&ids[0], &format!("{to}1"));
        let to = format!("{to}2");
        let output = self.restore(&ids[1], &to);
        assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
        let there = self.lab.path(&to);
        let there = there.join(&self.lab.path("two").to_str().unwrap()[1..]);
        assert_eq!(
            fs_err::read(there.join("noise")).unwrap(),
            noise(300_000, 2)
        );
        assert_eq!(fs_err::read(there.join("text")).unwrap(), b"two\n");
        output
    }
}

#[test]
fn all_comes_back_past_a_damaged_index_and_nothing_is_written_on_it() {
    for how in [Index::Flipped, Index::Empty] {
        let two = Two::new();
        let names = spoil(&two.lab.vault(), how);
        let output = two.lab.run(None, &["check"], 1);
        for name in &names {
            assert!(stdout(&output).contains(name), "{}", stdout(&output));
        }
        assert!(stdout(&output).contains("`lifeboat repair index`"));
        warned(&two.both_are_whole("out"), &names);

        let before = files(&two.lab.vault(), ".");
        let line = format!("backup --path {}", two.lab.path("one").display());
        let words = ["index/", "is damaged", "`lifeboat repair index`"];
        refused(&two.lab, None, &line, 1, &words);
        assert_eq!(files(&two.lab.vault(), "."), before);

        let report = two.lab.json(None, &["repair", "index"], 0);
        let packs = files(&two.lab.vault(), "data").len();
        assert_eq!(report["packs"], packs, "{report}");
        assert!(report["blobs"].as_u64().unwrap() >= 6, "{report}");
        assert_eq!(report["removed"], json!(names));
        assert_eq!(report["unreadable"], json!([]));
        mended(&two.lab);
        let output = two.both_are_whole("again");
        assert!(!stderr(&output).contains("index"), "{}", stderr(&output));
        two.backup("one");
        let output = two.lab.run(None, &["repair", "index"], 0);
        assert!(stdout(&output).contains("names everything"));
        mended(&two.lab);
    }
}

#[test]
fn all_comes_back_without_an_index_and_a_backup_stores_again_what_it_does_not_find() {
    let two = Two::new();
    spoil(&two.lab.vault(), Index::Gone);
    let output = two.lab.run(None, &["check"], 1);
    assert!(stdout(&output).contains("`lifeboat repair index`"));
    warned(&two.both_are_whole("out"), &[]);
    let packs = files(&two.lab.vault(), "data").len();
    two.backup("one");
    assert!(files(&two.lab.vault(), "data").len() > packs);
    two.both_are_whole("again");
    let output = two.lab.run(None, &["repair", "index"], 0);
    let text = stdout(&output);
    assert!(text.contains("added to the index: "), "{text}");
    mended(&two.lab);
    two.both_are_whole("mended");
}

#[test]
fn a_pack_that_is_damaged_too_is_named_by_the_repair_and_not_indexed() {
    let two = Two::new();
    let first = two.id(0);
    spoil(&two.lab.vault(), Index::Flipped);
    let pack = largest(two.second.clone());
    let size = fs_err::metadata(&pack).unwrap().len() as usize;
    flip(&pack, size - 10);
    let name = pack.file_name().unwrap().to_str().unwrap();
    let report = two.lab.json(None, &["repair", "index"], 3);
    assert_eq!(report["unreadable"][0]["id"], name, "{report}");
    assert_eq!(report["unreadable"].as_array().unwrap().len(), 1);
    assert!(pack.exists());
    two.first_is_whole(&first, "out1");
    let output = two.restore(&two.id(1), "out2");
    assert_eq!(output.status.code(), Some(3), "{}", stderr(&output));
    assert!(stderr(&output).contains("noise"), "{}", stderr(&output));
    let output = two.lab.run(None, &["repair", "index"], 3);
    assert!(stdout(&output).contains(name), "{}", stdout(&output));
    // What was lost is stored again, and then everything is there.
    two.backup("two");
    mended(&two.lab);
    two.both_are_whole("again");
}

#[test]
fn a_whole_app_comes_back_past_a_damaged_index_and_without_one() {
    for how in [Index::Flipped, Index::Gone] {
        let lab = Lab::new();
        lab.init();
        let engine = tiny::engine(&lab, "a");
        let (first, second, _) = two_points(&lab, &engine);
        let names = spoil(&lab.vault(), how);
        for (point, seed) in [(first, 5), (second, 6)] {
            tiny::remove(&engine, "keep");
            tiny::remove_volume(&engine, "keep_data");
            engine.api().delete("/networks/keep_net").unwrap();
            let line = format!("keep@{point}");
            let output = lab.run(Some(&engine), &["restore", &line], 0);
            warned(&output, if how == Index::Gone { &[] } else { &names });
            assert!(tiny::runs(&engine, "keep"));
            let file = engine.volume_path("keep_data").unwrap().join("noise");
            assert_eq!(fs_err::read(file).unwrap(), noise(400_000, seed));
        }
        if how == Index::Gone {
            // Without a parent that it can read it takes all anew.
            lab.json(Some(&engine), &["backup", "keep"], 0);
        } else {
            let words = ["index/", "is damaged", "`lifeboat repair index`"];
            refused(&lab, Some(&engine), "backup keep", 1, &words);
            assert!(tiny::runs(&engine, "keep"));
        }
        lab.run(None, &["repair", "index"], 0);
        lab.json(Some(&engine), &["backup", "keep"], 0);
        mended(&lab);
        engine.destroy().unwrap();
    }
}
