//! Berkeley DB files of a real repro, and such as Berkeley DB itself makes, read and held against what is in them.
//!
//! `tests/golden/legacy-repro/manifest.txt` says what repro's files hold. `db5.3_load` (Debian: db5.3-util) makes others:
//! large ones, of every page size and both byte orders.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test that cannot go on says so by panicking"
)]

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use sipvouch::store::encoding::{ByteOrder, Decoded, encode};
use sipvouch::store::{
    Domain, Error, Flow, Record, RecordFault, Route, Table, User, berkeley, dump,
};
use tempfile::TempDir;

type Found = Vec<Result<Decoded, RecordFault>>;
type Reader =
    fn(&Path, Table, &mut dyn FnMut(Result<Decoded, RecordFault>) -> Flow) -> Result<(), Error>;

fn legacy() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/legacy-repro")
}

fn all(read: Reader, path: &Path, table: Table) -> Result<Found, Error> {
    let mut found = Vec::new();
    read(path, table, &mut |record| {
        found.push(record);
        Flow::More
    })?;
    Ok(found)
}

fn records(read: Reader, path: &Path, table: Table) -> Vec<Record> {
    let found = all(read, path, table).unwrap_or_else(|e| panic!("{e}"));
    found.into_iter().map(|r| r.unwrap().record).collect()
}

// ---- repro's own files

/// Names and values of a record, as in the manifest.
type Fields = BTreeMap<String, String>;

/// What the manifest says of each file: its records, in the order of keys.
fn manifest() -> BTreeMap<PathBuf, Vec<(String, Fields)>> {
    let text = fs::read_to_string(legacy().join("manifest.txt")).unwrap();
    let (mut dir, mut file) = ("", PathBuf::new());
    let mut files: BTreeMap<PathBuf, Vec<(String, Fields)>> = BTreeMap::new();
    let mut announced = Vec::new();
    for line in text.lines() {
        if let Some(rest) = line.strip_prefix("Contents of ") {
            dir = rest.split_once('/').unwrap().0;
        } else if dir.is_empty() {
            continue;
        } else if let Some((name, count)) = line.split_once(": ")
            && name.ends_with(".db")
        {
            file = Path::new(dir).join(name);
            files.insert(file.clone(), Vec::new());
            let count: usize = count.split(' ').next().unwrap().parse().unwrap();
            announced.push((file.clone(), count));
        } else if let Some(key) = line.strip_prefix("  key   ") {
            let records = files.get_mut(&file).unwrap();
            records.push((unquoted(key), Fields::new()));
        } else if let Some((name, value)) = line
            .strip_prefix("        ")
            .and_then(|line| line.split_once(' '))
        {
            let records = files.get_mut(&file).unwrap();
            let (_, fields) = records.last_mut().unwrap();
            fields.insert(name.to_owned(), unquoted(value.trim_start()));
        }
    }
    for (file, count) in announced {
        assert_eq!(files[&file].len(), count, "{}", file.display());
    }
    files
}

/// A text without its quotes and escapes; of a number, what stands before its explanation.
fn unquoted(value: &str) -> String {
    match value.strip_prefix('\'') {
        Some(rest) => rest.strip_suffix('\'').unwrap().replace("\\\\", "\\"),
        None => value.split(' ').next().unwrap().to_owned(),
    }
}

fn fields(record: &Record) -> Fields {
    let text = str::to_owned;
    let pairs = match record {
        Record::Domain(r) => vec![
            ("domain", text(&r.domain)),
            ("tlsPort", r.tls_port.to_string()),
        ],
        Record::Acl(r) => vec![
            ("tlsPeerName", text(&r.tls_peer_name)),
            ("address", text(&r.address)),
            ("mask", r.mask.to_string()),
            ("port", r.port.to_string()),
            ("family", r.family.to_string()),
            ("transport", r.transport.to_string()),
        ],
        Record::Route(r) => vec![
            ("method", text(&r.method)),
            ("event", text(&r.event)),
            ("matchingPattern", text(&r.matching_pattern)),
            ("rewriteExpression", text(&r.rewrite_expression)),
            ("order", r.order.to_string()),
        ],
        Record::Filter(r) => vec![
            ("cond1Header", text(&r.cond1_header)),
            ("cond1Regex", text(&r.cond1_regex)),
            ("cond2Header", text(&r.cond2_header)),
            ("cond2Regex", text(&r.cond2_regex)),
            ("method", text(&r.method)),
            ("event", text(&r.event)),
            ("action", r.action.number().to_string()),
            ("actionData", text(&r.action_data)),
            ("order", r.order.to_string()),
        ],
        Record::Registration(r) => vec![
            ("aor", text(&r.aor)),
            ("contact", text(&r.contact)),
            ("path", text(&r.path)),
        ],
        Record::User(r) => vec![
            ("user", text(&r.user)),
            ("domain", text(&r.domain)),
            ("realm", text(&r.realm)),
            ("passwordHash", text(&r.password_hash)),
            ("passwordHashAlt", text(&r.password_hash_alt)),
            ("name", text(&r.name)),
            ("email", text(&r.email)),
            ("forwardAddress", text(&r.forward_address)),
        ],
        Record::Identity(r) => vec![
            ("peerName", text(&r.peer_name)),
            ("authorizedIdentity", text(&r.authorized_identity)),
        ],
        Record::Silo(r) => panic!("the manifest has no message, here is {r:?}"),
    };
    pairs
        .into_iter()
        .map(|(name, value)| (name.to_owned(), value))
        .collect()
}

#[test]
fn every_record_of_a_real_repro_is_read_field_by_field() {
    let (mut files, mut count) = (0, 0);
    for (file, expected) in manifest() {
        let path = legacy().join(&file);
        let name = file.file_name().unwrap().to_str().unwrap();
        let Some(table) = Table::ALL.into_iter().find(|t| t.berkeley_file() == name) else {
            // Only the indexes are no tables.
            assert!(name.ends_with("_idx1.db"), "{name}");
            continue;
        };
        for (read, path) in [
            (berkeley::read as Reader, path.clone()),
            (dump::read, path.with_extension("dump")),
        ] {
            let found = all(read, &path, table).unwrap_or_else(|e| panic!("{e}"));
            assert_eq!(found.len(), expected.len(), "{}", path.display());
            for (decoded, (key, expected)) in found.into_iter().zip(&expected) {
                let Decoded { record, note } = decoded.unwrap();
                let mut expected = expected.clone();
                if expected.remove("version").unwrap() == "2" {
                    expected.insert("passwordHashAlt".to_owned(), String::new());
                }
                assert_eq!((&record.key(), note), (key, None));
                assert_eq!(fields(&record), expected, "{}: {key}", path.display());
                count += 1;
            }
            files += 1;
        }
    }
    // 8 tables of db and 2 of db-v2, each as file and as dump.
    assert_eq!((files, count), (20, 2 * (22 + 6)));
}

#[test]
fn an_index_is_not_taken_for_a_table() {
    let path = legacy().join("db/repro_silo_idx1.db");
    for (read, path) in [
        (berkeley::read as Reader, path.clone()),
        (dump::read, path.with_extension("dump")),
    ] {
        let error = all(read, &path, Table::Silo).unwrap_err();
        assert!(matches!(error, Error::Foreign { .. }), "{error:?}");
        assert!(error.to_string().contains("duplicate keys"), "{error}");
    }
}

// ---- files that Berkeley DB makes

/// Makes a file of these records with Berkeley DB; `settings` as in the header of a dump.
fn load(dir: &TempDir, settings: &[&str], kind: &str, records: &[Record]) -> PathBuf {
    let order = if settings.contains(&"db_lorder=4321") {
        ByteOrder::Big
    } else {
        ByteOrder::Little
    };
    let mut text = format!("VERSION=3\nformat=bytevalue\ntype={kind}\nHEADER=END\n");
    for record in records {
        if kind != "recno" {
            line(&mut text, record.key().as_bytes());
        }
        line(&mut text, &encode(record, order).unwrap());
    }
    text.push_str("DATA=END\n");
    let dump = dir.path().join("made.txt");
    fs::write(&dump, text).unwrap();
    let path = dir.path().join("made.db");
    let mut command = Command::new("db5.3_load");
    for setting in settings {
        command.args(["-c", setting]);
    }
    let status = command.arg("-f").arg(&dump).arg(&path).status();
    let status = status.expect("db5.3_load; Debian has it in db5.3-util");
    assert!(status.success(), "db5.3_load {settings:?}: {status}");
    path
}

fn line(text: &mut String, octets: &[u8]) {
    writeln!(text, " {}", hex(octets)).unwrap();
}

/// Users as repro writes them, in the order of keys.
fn users(count: usize) -> Vec<Record> {
    (0..count)
        .map(|n| {
            Record::User(User {
                user: format!("user{n:06}"),
                domain: "example.org".into(),
                realm: "example.org".into(),
                password_hash: format!("[MD5]{n:032x}[SHA-256]{n:064x}[SHA-512-256]{n:064x}"),
                password_hash_alt: format!("[MD5]{:032x}", n + 1),
                name: "N".repeat(n % 50),
                ..User::default()
            })
        })
        .collect()
}

fn domains(count: usize) -> Vec<Record> {
    (0..count)
        .map(|n| {
            Record::Domain(Domain {
                domain: format!("d{n:05}.example"),
                tls_port: 5061,
            })
        })
        .collect()
}

#[test]
fn twenty_thousand_records_are_read_in_order_whatever_the_file_is_like() {
    for (situation, settings, table, expected) in [
        ("several levels", &[][..], Table::User, users(20_000)),
        (
            "small pages, many levels",
            &["db_pagesize=512"],
            Table::Domain,
            domains(20_000),
        ),
        (
            "every value on pages of its own",
            &["db_pagesize=512", "db_lorder=4321"],
            Table::User,
            users(20_000),
        ),
        (
            "the largest pages, with checksums",
            &["db_pagesize=65536", "chksum=1"],
            Table::User,
            users(20_000),
        ),
        (
            "another byte order, with checksums",
            &["db_lorder=4321", "chksum=1", "db_pagesize=1024"],
            Table::User,
            users(20_000),
        ),
        ("an empty tree", &[], Table::User, vec![]),
        (
            "an empty tree of small pages",
            &["db_pagesize=512"],
            Table::User,
            vec![],
        ),
        (
            "an empty tree of the largest pages",
            &["db_pagesize=65536", "db_lorder=4321", "chksum=1"],
            Table::User,
            vec![],
        ),
    ] {
        let dir = tempfile::tempdir().unwrap();
        let path = load(&dir, settings, "btree", &expected);
        let found = records(berkeley::read, &path, table);
        assert!(found == expected, "{situation}: other records");
    }
}

#[test]
fn keys_and_values_may_be_long() {
    // Long keys are on pages of their own, and inner pages refer to the same ones.
    for settings in [&["db_pagesize=512"][..], &["chksum=1", "db_lorder=4321"]] {
        for (length, count) in [(100, 500), (600, 200), (5000, 50), (60_000, 9)] {
            let expected: Vec<_> = (0..count)
                .map(|n| {
                    Record::Route(Route {
                        matching_pattern: format!("{}{n:04}", "p".repeat(length)),
                        rewrite_expression: format!("sip:{}@127.0.0.1", "r".repeat(length)),
                        order: 7,
                        ..Route::default()
                    })
                })
                .collect();
            let dir = tempfile::tempdir().unwrap();
            let path = load(&dir, settings, "btree", &expected);
            let found = records(berkeley::read, &path, Table::Route);
            assert!(found == expected, "{settings:?}, {length}: other records");
        }
    }
}

/// Applies lines of `put KEY VALUE` and `del KEY`, all in hexadecimal digits, to a B-tree.
const WORK: &str = r#"
use DB_File;
my ($path, $psize) = @ARGV;
my $tree = DB_File::BTREEINFO->new;
$tree->{psize} = $psize;
my %table;
my $db = tie %table, "DB_File", $path, O_RDWR | O_CREAT, 0600, $tree or die "$path: $!";
while (<STDIN>) {
    my ($what, $key, $value) = split;
    $key = pack "H*", $key;
    my $failed = $what eq "put" ? $db->put($key, pack "H*", $value) : $db->del($key);
    die "$what: $failed" if $failed;
}
"#;

/// What years of an operator's work leave in a file: free pages, pages that are nearly empty, keys that only inner pages
/// still have, and long items that came and went.
#[test]
fn a_file_that_was_changed_many_times_holds_what_is_left() {
    for (seed, page_size, keys, longest) in [
        (1, 512, 300, 700),
        (2, 512, 3000, 90),
        (3, 4096, 1000, 3000),
        (4, 65536, 300, 30_000),
    ] {
        let mut random = Random(seed);
        let mut table = BTreeMap::new();
        let mut text = String::new();
        // Grows and shrinks in turns.
        for turn in 0..8 {
            for _ in 0..keys {
                let n = random.below(keys);
                // The same key has the same length each time.
                let user = format!("{n:04}{}", "u".repeat(n * 7919 % longest));
                let record = User {
                    name: "N".repeat(random.below(longest)),
                    user,
                    domain: "example.org".into(),
                    ..User::default()
                };
                let record = Record::User(record);
                let key = record.key();
                if random.below(4) < if turn % 2 == 0 { 3 } else { 1 } {
                    let value = encode(&record, ByteOrder::Little).unwrap();
                    writeln!(text, "put {} {}", hex(key.as_bytes()), hex(&value)).unwrap();
                    table.insert(key, record);
                } else if table.remove(&key).is_some() {
                    writeln!(text, "del {}", hex(key.as_bytes())).unwrap();
                }
            }
        }
        let dir = tempfile::tempdir().unwrap();
        let work = dir.path().join("work.txt");
        fs::write(&work, text).unwrap();
        let path = dir.path().join("worked.db");
        let status = Command::new("perl")
            .args(["-e", WORK])
            .arg(&path)
            .arg(page_size.to_string())
            .stdin(fs::File::open(&work).unwrap())
            .status();
        let status = status.expect("perl, with its DB_File over Berkeley DB 5.3");
        assert!(status.success(), "{status}");
        let found = records(berkeley::read, &path, Table::User);
        let expected: Vec<_> = table.into_values().collect();
        assert!(!expected.is_empty());
        assert!(found == expected, "seed {seed}: other records");
    }
}

/// Numbers without a pattern, the same each time.
struct Random(u64);

impl Random {
    fn below(&mut self, limit: usize) -> usize {
        self.0 = self
            .0
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1);
        usize::try_from(self.0 >> 33).unwrap() % limit
    }
}

fn hex(octets: &[u8]) -> String {
    let digit = |n: u8| char::from_digit(u32::from(n), 16).unwrap();
    let digits = octets.iter().flat_map(|o| [digit(o >> 4), digit(o & 15)]);
    digits.collect()
}

#[test]
fn a_dump_says_what_the_file_says() {
    let expected = users(500);
    for (settings, options) in [
        (&[][..], &[][..]),
        (&[], &["-p"]),
        (&[], &["-r", "-p"]),
        (&["db_lorder=4321", "db_pagesize=512"], &["-p"]),
    ] {
        let dir = tempfile::tempdir().unwrap();
        let path = load(&dir, settings, "btree", &expected);
        let output = Command::new("db5.3_dump").args(options).arg(&path).output();
        let mut text = output.expect("db5.3_dump").stdout;
        if settings.contains(&"db_lorder=4321") {
            // A dump does not say; one may add it.
            let (head, rest) = text.split_at(b"VERSION=3\n".len());
            text = [head, b"db_lorder=4321\n", rest].concat();
        }
        let dump = dir.path().join("repro_user.dump");
        fs::write(&dump, text).unwrap();
        let mut found = records(dump::read, &dump, Table::User);
        // What was saved from a damaged file is in no order.
        found.sort_by_key(Record::key);
        assert!(found == expected, "{settings:?} {options:?}: other records");
    }
}

#[test]
fn a_file_of_another_kind_is_called_by_its_name() {
    for (settings, kind, expected) in [
        (
            &[][..],
            "hash",
            "a Berkeley DB hash file; expected a B-tree",
        ),
        (&[], "recno", "a Berkeley DB recno file"),
        (
            &["duplicates=1"],
            "btree",
            "a Berkeley DB B-tree with duplicate keys",
        ),
        (
            &["recnum=1"],
            "btree",
            "a Berkeley DB file of an unusual kind",
        ),
        (
            &["database=users"],
            "btree",
            "a Berkeley DB file with named data bases",
        ),
    ] {
        let dir = tempfile::tempdir().unwrap();
        let path = load(&dir, settings, kind, &users(3));
        match all(berkeley::read, &path, Table::User) {
            Err(Error::Foreign { why, .. }) => assert!(why.starts_with(expected), "{why}"),
            other => panic!("{kind} {settings:?}: {other:?}"),
        }
    }
    let dir = tempfile::tempdir().unwrap();
    let error = all(berkeley::read, dir.path(), Table::User).unwrap_err();
    assert!(error.to_string().ends_with("not a regular file"), "{error}");
    let missing = dir.path().join("repro_user.db");
    let error = all(berkeley::read, &missing, Table::User).unwrap_err();
    assert!(matches!(error, Error::Io { .. }), "{error:?}");
}

#[test]
fn a_file_that_changes_while_it_is_read_is_not_believed() {
    let dir = tempfile::tempdir().unwrap();
    let path = load(&dir, &[], "btree", &users(100));
    let octets = fs::read(&path).unwrap();
    for (situation, change) in [
        (
            "longer",
            &(|| fs::write(&path, [&octets[..], b"x"].concat())) as &dyn Fn() -> _,
        ),
        ("empty", &|| fs::write(&path, b"")),
        ("written again as it was", &|| fs::write(&path, &octets)),
    ] {
        fs::write(&path, &octets).unwrap();
        // So that the clock of the file system has gone on.
        let before = fs::metadata(&path).unwrap().modified().unwrap();
        let mut done = false;
        let outcome = berkeley::read(&path, Table::User, &mut |_| {
            while !std::mem::replace(&mut done, true) {
                change().unwrap();
                done = fs::metadata(&path).unwrap().modified().unwrap() != before;
            }
            Flow::More
        });
        match outcome {
            Err(error @ Error::Changed { .. }) => {
                assert!(error.to_string().contains("stop repro first"), "{error}");
            }
            other => panic!("{situation}: {other:?}"),
        }
    }
}

#[test]
fn enough_is_enough() {
    let dir = tempfile::tempdir().unwrap();
    let path = load(&dir, &[], "btree", &users(1000));
    let mut count = 0;
    berkeley::read(&path, Table::User, &mut |_| {
        count += 1;
        if count == 7 { Flow::Enough } else { Flow::More }
    })
    .unwrap();
    assert_eq!(count, 7);
}

// ---- damage

fn in_memory(file: &[u8], table: Table) -> Result<Found, berkeley::Fault> {
    let mut found = Vec::new();
    berkeley::read_octets(file, table, &mut |record| {
        found.push(record);
        Flow::More
    })?;
    Ok(found)
}

#[test]
fn a_file_that_is_cut_off_anywhere_is_damaged() {
    let dir = tempfile::tempdir().unwrap();
    let path = load(&dir, &["db_pagesize=512"], "btree", &users(100));
    let whole = fs::read(&path).unwrap();
    let cut = dir.path().join("cut.db");
    let ends = (0..whole.len()).step_by(512).chain([1, 11, 16, 511, 513]);
    for end in ends.chain([whole.len() - 1]) {
        fs::write(&cut, &whole[..end]).unwrap();
        match all(berkeley::read, &cut, Table::User) {
            Err(Error::Foreign { .. }) if end < 16 => {}
            Err(Error::Corrupt { why, .. }) if end >= 16 => {
                assert!(why.starts_with("page 0: "), "{why}");
            }
            other => panic!("cut off at {end}: {other:?}"),
        }
    }
}

#[test]
fn each_page_of_a_large_file_is_missed_when_it_is_overwritten() {
    let dir = tempfile::tempdir().unwrap();
    let path = load(&dir, &["db_pagesize=512"], "btree", &users(60));
    let whole = fs::read(&path).unwrap();
    for page in 0..whole.len() / 512 {
        for (situation, from) in [("zeros", None), ("its neighbour", Some(page ^ 1))] {
            let mut file = whole.clone();
            let octets = match from {
                None => vec![0; 512],
                Some(other) => whole.get(other * 512..).map_or(vec![1; 512], |rest| {
                    rest.get(..512).unwrap_or(&[1; 512]).to_vec()
                }),
            };
            file[page * 512..][..512].copy_from_slice(&octets);
            assert!(
                in_memory(&file, Table::User).is_err(),
                "page {page} is {situation}, and nobody sees it"
            );
        }
    }
}

/// Where a key or value stands in a file.
fn place(file: &[u8], item: &[u8]) -> std::ops::Range<usize> {
    let mut head = u16::try_from(item.len()).unwrap().to_le_bytes().to_vec();
    head.push(1);
    let stored = [&head[..], item].concat();
    let mut places = (0..file.len()).filter(|at| file[*at..].starts_with(&stored));
    let at = places.next().unwrap() + head.len();
    assert_eq!(places.next(), None);
    at..at + item.len()
}

/// Every bit of a real file: when it flips, the file is damaged, or the record is, or nothing that counts was there.
/// Two kinds of flips nobody can see without checksums: those inside a record, which is another then, and the mark that
/// says that it was deleted.
#[test]
fn a_flipped_bit_is_seen_where_it_can_be() {
    for (table, stride) in [(Table::User, 1), (Table::Acl, 3), (Table::Filter, 3)] {
        let mut file = fs::read(legacy().join("db").join(table.berkeley_file())).unwrap();
        let whole = in_memory(&file, table).unwrap();
        let (mut inside, mut marks) = (BTreeSet::new(), BTreeMap::new());
        for (n, record) in whole.iter().enumerate() {
            let record = &record.as_ref().unwrap().record;
            inside.extend(place(&file, record.key().as_bytes()));
            let value = place(&file, &encode(record, ByteOrder::Little).unwrap());
            marks.insert(value.start - 1, n);
            inside.extend(value);
        }
        let mut seen = 0;
        for at in (0..file.len()).step_by(stride) {
            for bit in 0..8 {
                file[at] ^= 1 << bit;
                let outcome = in_memory(&file, table);
                file[at] ^= 1 << bit;
                let Ok(found) = outcome else {
                    seen += 1;
                    continue;
                };
                if bit == 7
                    && let Some(n) = marks.get(&at)
                {
                    let mut rest = whole.clone();
                    rest.drain(*n..=*n).for_each(drop);
                    assert_eq!(found, rest);
                    continue;
                }
                assert_eq!(found.len(), whole.len(), "octet {at} bit {bit}");
                let others: Vec<_> = found.iter().zip(&whole).filter(|(f, w)| f != w).collect();
                assert!(others.len() <= 1, "octet {at} bit {bit}");
                assert!(
                    inside.contains(&at) || others.iter().all(|(found, _)| found.is_err()),
                    "octet {at} bit {bit}: {others:?}"
                );
            }
        }
        assert!(seen > 100, "{table}: {seen}");
    }
}

#[test]
fn with_checksums_every_flipped_bit_is_seen() {
    for order in ["db_lorder=1234", "db_lorder=4321"] {
        let dir = tempfile::tempdir().unwrap();
        let path = load(
            &dir,
            &["chksum=1", "db_pagesize=1024", order],
            "btree",
            &users(9),
        );
        let mut file = fs::read(&path).unwrap();
        let whole = in_memory(&file, Table::User).unwrap();
        assert!(file.len() >= 4 * 1024 && whole.len() == 9);
        for at in 0..file.len() {
            let bit = at % 8;
            file[at] ^= 1 << bit;
            let outcome = in_memory(&file, Table::User);
            file[at] ^= 1 << bit;
            match outcome {
                Err(_) => {}
                // The checksum of the meta page is over its first 512 octets; the rest has no meaning.
                Ok(found) if (512..1024).contains(&at) => assert_eq!(found, whole),
                Ok(_) => panic!("{order}: octet {at} bit {bit} is not seen"),
            }
        }
    }
}
