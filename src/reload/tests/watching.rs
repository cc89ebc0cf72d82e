//! What is told of changes, by a thread and real events.

use std::os::unix::fs::symlink;

use super::*;

/// Both, polling alone, events alone.
const MODES: [(&str, WatchSettings); 3] =
    [("both", settings(20, true)), ("polled", settings(20, false)), ("told", settings(3_600_000, true))];

/// As `ln -sfT` does it, but at once.
fn link(path: PathBuf, target: &str) {
    let new = path.with_file_name(".link");
    symlink(target, &new).unwrap();
    fs::rename(new, path).unwrap();
}

/// What Kubernetes does to a mounted ConfigMap: a new folder beside the old one, then one rename.
fn mount(folder: &Path, generation: usize, files: &[(&str, String)]) {
    let data = format!("..2026_{generation}");
    for (name, text) in files {
        write(folder.join(&data).join(name), text);
        let top = name.split('/').next().unwrap();
        if folder.join(top).symlink_metadata().is_err() {
            symlink(format!("..data/{top}"), folder.join(top)).unwrap();
        }
    }
    symlink(&data, folder.join("..data_tmp")).unwrap();
    fs::rename(folder.join("..data_tmp"), folder.join("..data")).unwrap();
    if let Some(old) = generation.checked_sub(1) {
        let _ = fs::remove_dir_all(folder.join(format!("..2026_{old}")));
    }
}

/// A source, and how it changes, twice, so that a watch that is lost with the first shows.
struct Case {
    name: &'static str,
    path: &'static str,
    /// Makes generation 0, and then 1 and 2 of it.
    make: fn(&Path, usize),
    /// What is read of a generation; the digit stands for its number.
    text: &'static [(&'static str, &'static str)],
    /// Made by one system call, so that nothing else may be told on the way.
    at_once: bool,
}

const CASES: &[Case] = &[
    Case {
        name: "cut and written in place",
        path: "p.yaml",
        make: |root, n| write(root.join("p.yaml"), format!("long {n}")),
        text: &[("p.yaml", "long #")],
        at_once: false,
    },
    Case {
        name: "appended to",
        path: "p",
        make: |root, n| write(root.join("p/a.yaml"), "x".repeat(n + 1)),
        text: &[("p/a.yaml", "x*")],
        at_once: false,
    },
    Case {
        name: "renamed over",
        path: "p.yaml",
        make: |root, n| replace(root.join("p.yaml"), &n.to_string()),
        text: &[("p.yaml", "#")],
        at_once: true,
    },
    Case {
        name: "renamed over in a folder",
        path: "p",
        make: |root, n| replace(root.join("p/sub/a.yaml"), &n.to_string()),
        text: &[("p/sub/a.yaml", "#")],
        at_once: true,
    },
    Case {
        name: "moved to a backup and written anew",
        path: "p.yaml",
        make: |root, n| {
            let _ = fs::rename(root.join("p.yaml"), root.join("p.yaml~"));
            write(root.join("p.yaml"), n.to_string());
        },
        text: &[("p.yaml", "#")],
        at_once: false,
    },
    Case {
        name: "a link turned to another file",
        path: "p.yaml",
        make: |root, n| {
            write(root.join(format!("v/{n}.yaml")), n.to_string());
            link(root.join("p.yaml"), &format!("v/{n}.yaml"));
        },
        text: &[("p.yaml", "#")],
        at_once: true,
    },
    Case {
        name: "the far end of two links",
        path: "a/p.yaml",
        make: |root, n| {
            replace(root.join("c/p.yaml"), &n.to_string());
            if n == 0 {
                fs::create_dir_all(root.join("a")).unwrap();
                fs::create_dir_all(root.join("b")).unwrap();
                link(root.join("a/p.yaml"), "../b/p.yaml");
                link(root.join("b/p.yaml"), root.join("c/p.yaml").to_str().unwrap());
            }
        },
        text: &[("a/p.yaml", "#")],
        at_once: true,
    },
    Case {
        name: "the middle one of two links",
        path: "a/p.yaml",
        make: |root, n| {
            write(root.join(format!("c/{n}.yaml")), n.to_string());
            fs::create_dir_all(root.join("a")).unwrap();
            fs::create_dir_all(root.join("b")).unwrap();
            link(root.join("b/p.yaml"), &format!("../c/{n}.yaml"));
            if n == 0 {
                link(root.join("a/p.yaml"), "../b/p.yaml");
            }
        },
        text: &[("a/p.yaml", "#")],
        at_once: true,
    },
    Case {
        name: "a link in the midst of the path",
        path: "current/p/../p",
        make: |root, n| {
            write(root.join(format!("releases/{n}/p/a.yaml")), n.to_string());
            link(root.join("current"), &format!("releases/{n}"));
        },
        text: &[("current/p/../p/a.yaml", "#")],
        at_once: true,
    },
    Case {
        name: "a ConfigMap as a folder",
        path: "p",
        make: |root, n| {
            mount(&root.join("p"), n, &[("a.yaml", n.to_string()), ("b.yaml", "same".to_owned())]);
        },
        text: &[("p/a.yaml", "#"), ("p/b.yaml", "same")],
        at_once: true,
    },
    Case {
        name: "a file of a ConfigMap",
        path: "p/a.yaml",
        make: |root, n| mount(&root.join("p"), n, &[("a.yaml", n.to_string())]),
        text: &[("p/a.yaml", "#")],
        at_once: true,
    },
    Case {
        name: "a ConfigMap with a folder in it",
        path: "p",
        make: |root, n| mount(&root.join("p"), n, &[("sub/a.yaml", n.to_string())]),
        text: &[("p/sub/a.yaml", "#")],
        at_once: true,
    },
    Case {
        name: "a link to a folder in a folder",
        path: "p",
        make: |root, n| {
            write(root.join(format!("v{n}/a.yaml")), n.to_string());
            fs::create_dir_all(root.join("p")).unwrap();
            link(root.join("p/v"), &format!("../v{n}"));
        },
        text: &[("p/v/a.yaml", "#")],
        at_once: true,
    },
    Case {
        name: "a folder removed and made again, and then written in",
        path: "p",
        make: |root, n| {
            if n == 1 {
                fs::remove_dir_all(root.join("p")).unwrap();
            }
            write(root.join("p/sub/a.yaml"), n.to_string());
        },
        text: &[("p/sub/a.yaml", "#")],
        at_once: false,
    },
    Case {
        name: "a folder with older files in place of another, and then written in",
        path: "p",
        make: |root, n| {
            if n == 1 {
                write(root.join("new/a.yaml"), "1");
                touch(&root.join("new/a.yaml"));
                fs::rename(root.join("p"), root.join("old")).unwrap();
                fs::rename(root.join("new"), root.join("p")).unwrap();
            } else {
                write(root.join("p/a.yaml"), n.to_string());
            }
        },
        text: &[("p/a.yaml", "#")],
        at_once: false,
    },
    Case {
        name: "a new folder with a file in place of the last",
        path: "p",
        make: |root, n| {
            write(root.join(format!("p/{n}/a.yaml")), n.to_string());
            if n > 0 {
                fs::remove_file(root.join(format!("p/{}/a.yaml", n - 1))).unwrap();
            }
        },
        text: &[("p/#/a.yaml", "#")],
        at_once: false,
    },
    Case {
        name: "a file taken away",
        path: "p",
        make: |root, n| match n {
            0 => (0..3).for_each(|name| write(root.join(format!("p/{name}.yaml")), "x")),
            _ => fs::remove_file(root.join(format!("p/{n}.yaml"))).unwrap(),
        },
        text: &[],
        at_once: true,
    },
    Case {
        name: "a file that becomes a folder and a file again",
        path: "p.yaml",
        make: |root, n| {
            let _ = fs::remove_file(root.join("p.yaml"));
            let _ = fs::remove_dir_all(root.join("p.yaml"));
            match n {
                1 => write(root.join("p.yaml/a.yaml"), "folder"),
                _ => write(root.join("p.yaml"), n.to_string()),
            }
        },
        text: &[],
        at_once: false,
    },
];

/// The generation as it is to be told; a case with no texts is read straight from the disk.
fn expected(case: &Case, root: &Path, n: usize) -> Told {
    if case.text.is_empty() {
        return read_told(root, &yaml(root, case.path));
    }
    let fill = |text: &str| text.replace('#', &n.to_string()).replace('*', &"x".repeat(n));
    Ok(case.text.iter().map(|(name, text)| (fill(name), fill(text))).collect())
}

#[test]
fn every_change_is_told_whether_by_events_or_by_polling() {
    for (mode, settings) in MODES {
        for case in CASES {
            let temp = Temp::new();
            let root = temp.0.as_path();
            (case.make)(root, 0);
            let (_watcher, next) = listen(root, case.path, settings);
            for n in 0..3 {
                // That generation 0 was told shows that the watches stand.
                if n > 0 {
                    (case.make)(root, n);
                }
                let what = format!("{mode}, {}, {n}", case.name);
                let expected = expected(case, root, n);
                let mut told = next(&what);
                while !case.at_once && told != expected {
                    told = next(&what); // what lay there between two steps
                }
                assert_eq!(told, expected, "{what}");
            }
        }
    }
}

/// Watches `path`; what comes back waits for what is told, and fails with the text that it is given.
fn listen(root: &Path, path: &str, settings: WatchSettings) -> (Watcher, impl Fn(&str) -> Told) {
    let (tell, heard) = channel();
    let own = root.to_owned();
    let tell = move |read| {
        let _ = tell.send(told(&own, &read));
    };
    let watcher = watch(yaml(root, path), None, settings, tell).unwrap();
    (watcher, move |what: &str| {
        let told = heard.recv_timeout(PATIENCE);
        told.unwrap_or_else(|_| panic!("never told: {what}"))
    })
}

#[test]
fn a_set_that_vanishes_is_an_error_once_and_its_return_is_told() {
    for (mode, settings) in MODES {
        let temp = Temp::new();
        let missing = |name: &str| Err(format!("`{name}` does not exist, or is a link to what does not"));
        let (_watcher, next) = listen(&temp.0, "not/yet/p", settings);
        assert_eq!(next(mode), missing("not/yet/p"), "{mode}");
        fs::create_dir_all(temp.0.join("new/yet/p")).unwrap();
        write(temp.0.join("new/yet/p/a.yaml"), "1");
        fs::rename(temp.0.join("new"), temp.0.join("not")).unwrap();
        assert_eq!(next(mode), files([("not/yet/p/a.yaml", "1")]), "{mode}");
        fs::rename(temp.0.join("not/yet/p/a.yaml"), temp.0.join("a.yaml")).unwrap();
        let empty = "folder `not/yet/p` has no file that ends in `.yaml` or `.yml`";
        assert_eq!(next(mode), Err(empty.to_owned()), "{mode}");
        fs::rename(temp.0.join("a.yaml"), temp.0.join("not/yet/p/a.yaml")).unwrap();
        assert_eq!(next(mode), files([("not/yet/p/a.yaml", "1")]), "{mode}");
        fs::rename(temp.0.join("not/yet/p"), temp.0.join("away")).unwrap();
        assert_eq!(next(mode), missing("not/yet/p"), "{mode}");
        fs::rename(temp.0.join("away"), temp.0.join("not/yet/p")).unwrap();
        assert_eq!(next(mode), files([("not/yet/p/a.yaml", "1")]), "{mode}");
    }
}

#[test]
fn changes_during_a_call_make_one_call_after_it() {
    for (mode, settings) in MODES {
        let temp = Temp::new();
        let root = temp.0.clone();
        write(root.join("p/a.yaml"), "0");
        write(root.join("p/b.yaml"), "0");
        let (tell, heard) = channel();
        let (release, released) = channel();
        let _watcher = watch(yaml(&root, "p"), None, settings, move |read| {
            let _ = tell.send(told(&root, &read));
            let _ = released.recv_timeout(PATIENCE);
        });
        let next = || heard.recv_timeout(PATIENCE).unwrap();
        assert_eq!(next(), files([("p/a.yaml", "0"), ("p/b.yaml", "0")]), "{mode}");
        write(temp.0.join("p/a.yaml"), "1");
        write(temp.0.join("p/b.yaml"), "1");
        release.send(()).unwrap();
        assert_eq!(next(), files([("p/a.yaml", "1"), ("p/b.yaml", "1")]), "{mode}");
        replace(temp.0.join("p/a.yaml"), "2");
        release.send(()).unwrap();
        assert_eq!(next(), files([("p/a.yaml", "2"), ("p/b.yaml", "1")]), "{mode}");
    }
}

#[test]
fn nothing_is_told_after_the_watcher_is_dropped() {
    for (mode, settings) in MODES {
        let temp = Temp::new();
        write(temp.0.join("p.yaml"), "0");
        let (tell, heard) = channel();
        let watcher = watch(yaml(&temp.0, "p.yaml"), None, settings, move |read| {
            let _ = tell.send(read);
        });
        let first = heard.recv_timeout(PATIENCE).unwrap();
        assert_eq!(told(&temp.0, &first), files([("p.yaml", "0")]), "{mode}");
        drop(watcher);
        replace(temp.0.join("p.yaml"), "1");
        // The sender goes with the closure, and the closure with the thread.
        let end = heard.recv_timeout(PATIENCE).unwrap_err();
        assert_eq!(end, RecvTimeoutError::Disconnected, "{mode}");
    }
}
