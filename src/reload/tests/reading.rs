//! What is read, and what cannot be.

use std::os::unix::fs::symlink;
use std::os::unix::net::UnixListener;

use super::*;

#[test]
fn a_folder_is_read_in_order_and_without_what_is_left_out() {
    let temp = Temp::new();
    let root = &temp.0;
    for (name, text) in [
        ("p/z.yaml", "1"),
        ("p/a.yml", "2"),
        ("p/sub/deep/m.yaml", "3"),
        ("p/sub.yaml", "4"),
        ("p/tests/t.yaml", "left out"),
        ("p/sub/tests/t.yaml", "left out"),
        ("p/.git/g.yaml", "left out"),
        ("p/.h.yaml", "left out"),
        ("p/notes.md", "left out"),
        ("p/yaml", "left out"),
        ("p/UPPER.YAML", "left out"),
        ("other/o.yaml", "5"),
        ("any.name", "6"),
    ] {
        write(root.join(name), text);
    }
    symlink("user@host.1", root.join("p/.#z.yaml")).unwrap(); // a lock of emacs
    symlink("nowhere", root.join("p/nowhere.md")).unwrap();
    symlink("../other", root.join("p/linked")).unwrap();
    symlink("../other", root.join("p/linked too")).unwrap();
    symlink("../any.name", root.join("p/linked.yaml")).unwrap();
    let expected = [
        ("p/a.yml", "2"),
        ("p/linked/o.yaml", "5"),
        ("p/linked too/o.yaml", "5"),
        ("p/linked.yaml", "6"),
        ("p/sub/deep/m.yaml", "3"),
        ("p/sub.yaml", "4"),
        ("p/z.yaml", "1"),
    ];
    assert_eq!(read_told(root, &yaml(root, "p")), files(expected));

    // Paths keep their order; a file that is named itself may be called anything, or lie in `tests`.
    let source = Source::yaml(["p/z.yaml", "any.name", "p/tests"].map(|name| root.join(name)));
    let expected = [("p/z.yaml", "1"), ("any.name", "6"), ("p/tests/t.yaml", "left out")];
    assert_eq!(read_told(root, &source), files(expected));
    let sources: Vec<_> = read(&source).unwrap().files.iter().map(|file| file.source).collect();
    assert_eq!(sources, [0, 1, 2]);
}

#[test]
fn a_folder_of_keys_has_its_own_extension() {
    let temp = Temp::new();
    write(temp.0.join("keys/1.pem"), "key");
    write(temp.0.join("keys/1.yaml"), "no key");
    let source = Source::pem([temp.0.join("keys")]);
    assert_eq!(read_told(&temp.0, &source), files([("keys/1.pem", "key")]));
}

#[test]
fn the_digest_is_of_names_and_content_and_not_of_the_place() {
    let temp = Temp::new();
    let digest = |set: &str, names: &[(&str, &str)]| {
        for (name, text) in names {
            write(temp.0.join(set).join(name), text);
        }
        read(&yaml(&temp.0, set)).unwrap().digest
    };
    let first = digest("1", &[("a.yaml", "ab"), ("b.yaml", "c")]);
    // printf '\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\6a.yaml\0\0\0\0\0\0\0\2ab…' | sha256sum
    assert_eq!(first.to_string(), "00676ea6018d");
    assert_eq!(format!("{first:?}"), first.to_string());
    assert_eq!(digest("2", &[("b.yaml", "c"), ("a.yaml", "ab")]), first);
    assert_ne!(digest("3", &[("a.yaml", "a"), ("b.yaml", "bc")]), first);
    assert_ne!(digest("4", &[("a.yaml", "ab"), ("c.yaml", "c")]), first);
    assert_ne!(digest("5", &[("a.yaml", "ab"), ("b.yaml", "c"), ("c.yaml", "")]), first);
    // A file that is named itself has no name below its path.
    write(temp.0.join("x.yaml"), "same");
    write(temp.0.join("y.yaml"), "same");
    let [x, y] = ["x.yaml", "y.yaml"].map(|name| read(&yaml(&temp.0, name)).unwrap().digest);
    assert_eq!(x, y);
}

#[test]
fn what_cannot_be_read_says_why() {
    let temp = Temp::new();
    let root = &temp.0;
    write(root.join("file.yaml"), "1");
    fs::create_dir_all(root.join("empty/tests")).unwrap();
    write(root.join("empty/tests/t.yaml"), "1");
    write(root.join("line\nbreak/readme"), "1");
    let _socket = UnixListener::bind(root.join("socket.yaml")).unwrap();
    symlink("b.yaml", root.join("a.yaml")).unwrap();
    symlink("a.yaml", root.join("b.yaml")).unwrap();
    fs::create_dir_all(root.join("round/sub")).unwrap();
    symlink("..", root.join("round/sub/up")).unwrap();
    fs::create_dir_all(root.join("dangling")).unwrap();
    symlink("../nowhere.yaml", root.join("dangling/a.yaml")).unwrap();
    fs::create_dir_all(root.join("large")).unwrap();
    let sized = |name: &str, size| fs::File::create(root.join(name)).unwrap().set_len(size).unwrap();
    sized("large/a.yaml", (64 << 20) + 1);
    fs::create_dir_all(root.join("together")).unwrap();
    for number in 0..4 {
        sized(&format!("together/{number}.yaml"), 64 << 20);
    }
    sized("more.yaml", 1);
    fs::create_dir_all(root.join("many")).unwrap();
    for number in 0..=10_000 {
        sized(&format!("many/{number}"), 0);
    }
    let deep = format!("deep{}", "/d".repeat(101));
    fs::create_dir_all(root.join(&deep)).unwrap();
    let too_deep = format!("folder `{deep}` is more than 100 folders deep");
    for (path, expected) in [
        ("deep", too_deep.as_str()),
        ("nowhere.yaml", "`nowhere.yaml` does not exist, or is a link to what does not"),
        ("nowhere/at/all.yaml", "`nowhere/at/all.yaml` does not exist, or is a link to what does not"),
        ("dangling", "`dangling/a.yaml` does not exist, or is a link to what does not"),
        ("file.yaml/sub.yaml", "`file.yaml/sub.yaml` cannot be opened or read: not a directory (os error 20)"),
        ("socket.yaml", "`socket.yaml` is neither a file nor a folder"),
        ("a.yaml", "`a.yaml` is a link that leads in a circle"),
        ("round", "`round/sub/up` is a link that leads in a circle"),
        ("empty", "folder `empty` has no file that ends in `.yaml` or `.yml`"),
        ("line\nbreak", "folder `line\u{fffd}break` has no file that ends in `.yaml` or `.yml`"),
        ("large", "file `large/a.yaml` is larger than 64 MiB"),
        ("many", "folder `many` brings the entries to look through beyond 10000"),
    ] {
        assert_eq!(read_told(root, &yaml(root, path)), Err(expected.to_owned()), "{path}");
    }
    let source = Source::yaml(["together", "more.yaml"].map(|name| root.join(name)));
    let expected = "the files up to `more.yaml` are together larger than 256 MiB";
    assert_eq!(read_told(root, &source), Err(expected.to_owned()));
    let source = Source::yaml(["file.yaml", "empty", "nowhere"].map(|name| root.join(name)));
    let expected = "folder `empty` has no file that ends in `.yaml` or `.yml`";
    assert_eq!(read_told(root, &source), Err(expected.to_owned()), "the first one is named");
    let expected = "no file or folder is named";
    assert_eq!(read_told(root, &Source::yaml([] as [&str; 0])), Err(expected.to_owned()));
}

#[test]
fn debug_output_has_no_content() {
    let temp = Temp::new();
    write(temp.0.join("key.pem"), "very secret");
    let files = read(&Source::pem([temp.0.join("key.pem")])).unwrap();
    let expected = format!("[`{}/key.pem` (11 bytes)]", temp.0.display());
    assert_eq!(format!("{:?}", files.files), expected);
}

#[test]
fn a_set_that_changes_while_it_is_read_is_read_again() {
    let temp = Temp::new();
    let (root, source) = (&temp.0, yaml(&temp.0, "p"));
    write(root.join("p/a.yaml"), "0");
    let mut reads = 0;
    let (seen, read) = look(&source, |_| {
        reads += 1;
        if reads < 5 {
            write(root.join("p/a.yaml"), "x".repeat(reads));
        }
    });
    assert_eq!(told(root, &read), files([("p/a.yaml", "xxxx")]));
    assert_eq!(seen, Some(scan(&source)));
    assert_eq!(reads, 5);

    let (seen, read) = look(&source, |_| {
        reads += 1;
        write(root.join(format!("p/{reads}.yaml")), "");
    });
    assert_eq!(told(root, &read), Err("the files at `p` kept changing while they were read".to_owned()));
    assert_eq!(seen, None);
    assert_eq!(reads, 10);
}
