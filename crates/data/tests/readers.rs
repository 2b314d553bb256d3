//! Readers against files that other people's software wrote (`golden/data/readers/make.py`), and
//! against the same files broken at random: every fault is a counted item, never a panic.

#![allow(clippy::unwrap_used)]

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use danlu_data::readers::{
    COMPRESSIONS, Item, READERS, Reader, SourceFile, read_file, source_files,
};
use danlu_data::{DataConfig, Document, Source};
use proptest::prelude::*;
use proptest::sample::Index;
use serde_json::json;

fn golden() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../golden/data/readers")
}

/// What the scripts beside them put into the golden files.
const EXPECTED: &[&str] =
    &["expected.json", "expected-mail.json", "expected-parquet.json", "expected-pdf.json"];

fn config(max_record_bytes: u64) -> DataConfig {
    serde_json::from_value(json!({"text": ["x"], "max_record_bytes": max_record_bytes})).unwrap()
}

fn items_of(path: &Path, source: Source, max_record_bytes: u64) -> Vec<Item> {
    let name = path.file_name().unwrap().to_str().unwrap().to_owned();
    let file = SourceFile { path: path.to_owned(), name, source };
    let mut items = Vec::new();
    read_file(&file, &config(max_record_bytes), &mut |item| {
        items.push(item);
        Ok(())
    })
    .unwrap();
    items
}

/// The items of a file of this name and content.
fn items(name: &str, bytes: &[u8], source: Source, max_record_bytes: u64) -> Vec<Item> {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join(name);
    fs::write(&path, bytes).unwrap();
    items_of(&path, source, max_record_bytes)
}

/// Ids of documents, and line and kind of what was rejected.
fn outline(items: &[Item]) -> Vec<String> {
    let line = |item: &Item| match item {
        Item::Document(_, document) => document.id.clone(),
        Item::Dialogue(_, dialogue) => dialogue.id.clone(),
        Item::Rejected(place, reason) => format!("{}: {}", place.line, reason.kind),
    };
    items.iter().map(line).collect()
}

#[test]
fn files_of_other_software_give_what_their_writers_put_in() {
    let mut expected = BTreeMap::<String, Vec<Document>>::new();
    for list in EXPECTED {
        let list = fs::read(golden().join(list)).unwrap();
        let list: BTreeMap<String, Vec<Document>> = serde_json::from_slice(&list).unwrap();
        assert!(!list.is_empty());
        expected.extend(list);
    }
    for (name, documents) in expected {
        let found: Vec<Document> = items_of(&golden().join(&name), "x".into(), 1 << 20)
            .into_iter()
            .map(|item| match item {
                Item::Document(_, document) => document,
                other => panic!("{name}: {other:?}"),
            })
            .collect();
        assert_eq!(found, documents, "{name}");
    }
}

#[test]
fn every_reader_and_every_compression_has_a_golden_file() {
    let names: Vec<PathBuf> =
        fs::read_dir(golden()).unwrap().map(|entry| entry.unwrap().path()).collect();
    for reader in READERS {
        let found = names.iter().filter_map(|path| Reader::of(path));
        assert!(found.into_iter().any(|found| found.name == reader.name), "{}", reader.name);
    }
    for compression in COMPRESSIONS {
        let ending = Some(compression.extension);
        let mut found = names.iter().map(|path| path.extension().and_then(|e| e.to_str()));
        assert!(found.any(|found| found == ending), "{}", compression.extension);
    }
}

#[test]
fn the_field_with_the_text_can_be_named() {
    let source: Source =
        serde_json::from_value(json!({"path": "x", "text_field": "body"})).unwrap();
    let lines = b"{\"body\": \"one\", \"text\": \"kept\"}\n{\"text\": \"two\"}\n{\"body\": 3}\n";
    let found = items("a.jsonl", lines, source.clone(), 100);
    assert_eq!(outline(&found), ["a.jsonl:1", "2: wrong fields", "3: wrong fields"]);
    let Item::Document(_, document) = &found[0] else { panic!("{found:?}") };
    assert_eq!((document.text.as_str(), &document.meta["text"]), ("one", &json!("kept")));

    let found = items("a.csv", b"id,text\n1,x\n", source, 100);
    let Item::Rejected(_, reason) = &found[0] else { panic!("{found:?}") };
    let detail = "no column `body` among id, text; set text_field in data.text";
    assert_eq!((reason.kind, reason.detail.as_str()), ("no text column", detail));
}

#[test]
fn a_broken_row_costs_itself_and_an_open_quote_no_more_memory_than_allowed() {
    let rows = b"text,n\none,1\ntwo\n\xff\xff\xfe,3\n,4\nlast,5\n";
    let found = items("a.csv", rows, "x".into(), 100);
    assert_eq!(found.len(), 5, "{found:?}");
    assert_eq!(outline(&found)[1], "3: broken row");
    assert_eq!(outline(&found)[3..], ["5: empty", "a.csv:6"]);

    let mut endless = b"text\n\"".to_vec();
    endless.resize(1 << 20, b'x');
    assert_eq!(outline(&items("a.csv", &endless, "x".into(), 100)), ["2: too large"]);
}

#[test]
fn damage_is_one_rejection_with_its_place_after_what_came_before() {
    let whole = fs::read(golden().join("two-members.jsonl.gz")).unwrap();
    let found = items("a.jsonl.gz", &whole[..whole.len() - 20], "x".into(), 1000);
    let outline = outline(&found);
    assert!(outline.len() > 10, "{outline:?}");
    assert_eq!(outline[9], "row 9");
    let last = outline.last().unwrap();
    assert_eq!(last, &format!("{}: damaged file", outline.len()));

    let found = items("a.txt.zst", b"this is not zstd", "x".into(), 1000);
    let Item::Rejected(place, reason) = &found[0] else { panic!("{found:?}") };
    assert_eq!((place.line, reason.kind), (1, "damaged file"));
}

#[test]
fn a_bomb_is_rejected_at_the_limit() {
    let mut bomb = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
    std::io::Write::write_all(&mut bomb, &vec![b'a'; 1 << 24]).unwrap();
    let bomb = bomb.finish().unwrap();
    for (name, kind) in [("a.txt.gz", "1: too large"), ("a.jsonl.gz", "1: too large")] {
        assert_eq!(outline(&items(name, &bomb, "x".into(), 1000)), [kind]);
    }
}

#[test]
fn pages_as_sent_are_counted_and_a_cut_record_is_said_to_be() {
    let record = |kind: &str, body: &str| {
        let length = body.len();
        format!("WARC/1.0\r\nWARC-Type: {kind}\r\nContent-Length: {length}\r\n\r\n{body}\r\n\r\n")
    };
    let crawl = [
        record("request", "GET /"),
        record("response", "<p>"),
        record("conversion", "text"),
        record("conversion", &"x".repeat(200)),
        record("conversion", "cut here"),
    ]
    .concat();
    let found = items("a.wet", &crawl.as_bytes()[..crawl.len() - 8], "x".into(), 100);
    let expected = ["2: broken answer", "a.wet:3", "4: too large", "5: damaged file"];
    assert_eq!(outline(&found), expected);
}

#[test]
fn what_a_crawl_holds_beside_pages_is_counted_by_its_reason() {
    let record = |head: &str, body: &[u8]| {
        let length = head.len() + body.len() + 4;
        let kind = format!("WARC/1.0\r\nWARC-Type: response\r\nContent-Length: {length}\r\n\r\n");
        [kind.as_bytes(), head.as_bytes(), b"\r\n\r\n", body, b"\r\n\r\n"].concat()
    };
    let mut bomb = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
    std::io::Write::write_all(&mut bomb, &vec![b'a'; 1 << 20]).unwrap();
    let bomb = bomb.finish().unwrap();
    let packed = "HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nContent-Encoding: ";
    let crawl = [
        record("HTTP/1.1 404 Not Found\r\nContent-Type: text/html", b"<p>"),
        record("HTTP/1.1 200 OK\r\nContent-Type: image/png", b"\x89PNG"),
        record("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked", b"5\r\nab"),
        record(&format!("{packed}gzip"), b"\x1f\x8bno"),
        record(&format!("{packed}gzip"), &bomb),
        record(&format!("{packed}br"), b"\xff\xff"),
        record("HTTP/1.1 200 OK\r\nContent-Type: text/html", b"<nav>menu</nav>"),
        record("HTTP/1.1 200 OK\r\nContent-Type: text/plain", b"plain"),
    ]
    .concat();
    let found = items("a.warc", &crawl, "x".into(), 4096);
    let expected = [
        "1: not a page",
        "2: not a page",
        "3: broken answer",
        "4: damaged compression",
        "5: too large",
        "6: unknown compression",
        "7: no main text",
        "a.warc:8",
    ];
    assert_eq!(outline(&found), expected);
}

#[test]
fn a_file_is_what_its_bytes_say_where_its_name_says_nothing_or_something_else() {
    let golden = |name: &str| fs::read(golden().join(name)).unwrap();
    for (name, bytes, expected) in [
        ("a.txt", golden("two-members.jsonl.gz"), "a.txt:1"),
        ("a", golden("two-members.jsonl.zst"), "row 0"),
        ("a.gz", golden("two-members.jsonl.xz"), "row 0"),
        ("a.jsonl", golden("two-members.jsonl.bz2"), "row 0"),
        ("a.txt", golden("crawl.wet.gz"), "<urn:uuid:00000000-0000-0000-0000-000000000000>"),
        ("a.txt", golden("page.html"), "a.txt:1"),
        ("a.xyz", golden("page.html"), "a.xyz:1"),
        ("a.txt", b"BZh9 is how bzip2 files begin, and this text".to_vec(), "a.txt:1"),
        ("a.txt", b"{\"text\": \"a text is a text\"}".to_vec(), "a.txt:1"),
        ("a.txt", golden("chinese.pdf"), "a.txt:1"),
        ("a.txt", golden("book.epub"), "a.txt:1"),
        ("a", golden("letters.mbox"), "a:1"),
        ("1789.host", golden("attachments.eml"), "1789.host:1"),
        ("a.txt", golden("gbk.eml"), "a.txt:1"),
        ("a.jsonl", b"PK\x03\x04 and more".to_vec(), "1: unknown kind of file"),
        ("a.xyz", b"some text".to_vec(), "1: unknown kind of file"),
    ] {
        assert_eq!(outline(&items(name, &bytes, "x".into(), 1 << 20))[0], expected, "{name}");
    }
    let found = items("a.txt", b"\x89PNG\r\n\x1a\n", "x".into(), 100);
    let Item::Rejected(_, reason) = &found[0] else { panic!("{found:?}") };
    assert!(reason.detail.starts_with("it is a PNG image by its first bytes; readable endings: "));
}

#[test]
fn a_pattern_stands_for_the_files_that_it_fits_in_their_order() {
    let folder = tempfile::tempdir().unwrap();
    for name in ["b.html", "a.html", "c.txt", "in/d.html", "in/deep/e.html.gz", "in/x[1].html"] {
        let path = folder.path().join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, "").unwrap();
    }
    let names = |pattern: &str| -> Result<Vec<String>, String> {
        let files = source_files(&[pattern.into()], folder.path());
        files.map(|files| files.into_iter().map(|file| file.name).collect()).map_err(|error| {
            let base = folder.path().to_str().unwrap();
            error.to_string().replace(base, "BASE")
        })
    };
    assert_eq!(names("*.html").unwrap(), ["a.html", "b.html"]);
    assert_eq!(names("**/*.html").unwrap(), ["a.html", "b.html", "in/d.html", "in/x[1].html"]);
    assert_eq!(names("in/**/*.html*").unwrap(), ["d.html", "deep/e.html.gz", "x[1].html"]);
    assert_eq!(names("[ac].*").unwrap(), ["a.html", "c.txt"]);
    assert_eq!(names("in/x[1].html").unwrap(), ["x[1].html"]);
    let none = "nothing is left after looking for files; no file fits BASE/*.pdf; `*` stays within \
                a folder, `**` does not";
    assert_eq!(names("*.pdf").unwrap_err(), none);
    assert!(names("a***").unwrap_err().starts_with("cannot read BASE/a***: "));
}

#[test]
fn a_broken_mail_costs_itself_and_its_place_is_named() {
    let start = "From a@b Tue Sep  1 12:30:00 2026\n";
    let head = "From: a\nContent-Type: multipart/mixed; boundary=b\n\n";
    let deep = |depth: usize| {
        let level =
            |at: usize| format!("Content-Type: multipart/mixed; boundary=x{at}\n\n--x{at}\n");
        format!("To: x\n{}\ninside\n", (0..depth).map(level).collect::<String>())
    };
    let mails = [
        "To: x\n\ngood\n".to_owned(),
        "no fields at all\n".to_owned(),
        format!("To: x\n\n{}\n", "long ".repeat(500)),
        format!("{head}no boundary\n"),
        format!("{head}--b\nContent-Type: image/png\n\nx\n--b--\n"),
        "To: x\nContent-Transfer-Encoding: base64\n\n!!!\n".to_owned(),
        deep(10),
        deep(20),
        "To: x\n\n  \n".to_owned(),
        "To: x\n\nlast\n".to_owned(),
    ];
    let mailbox: Vec<String> = mails.iter().map(|mail| format!("{start}{mail}")).collect();
    let second = mailbox[0].len() + 1;
    let found = items("a.mbox", mailbox.join("\n").as_bytes(), "x".into(), 2000);
    let expected = [
        "a.mbox:1",
        "2: broken mail",
        "3: too large",
        "4: broken mail",
        "5: empty",
        "6: undecodable",
        "a.mbox:7",
        "8: broken mail",
        "9: empty",
        "a.mbox:10",
    ];
    assert_eq!(outline(&found), expected);
    let Item::Rejected(_, reason) = &found[1] else { panic!("{found:?}") };
    let detail = format!("no fields of a mail; the message begins at byte {second}");
    assert_eq!(reason.detail, detail);
}

#[test]
fn damage_in_a_table_costs_its_row_group_and_is_named() {
    let whole = fs::read(golden().join("all-types.parquet")).unwrap();
    let mut broken = whole.clone();
    broken[4500..4540].fill(0xff);
    let found = items("a.parquet", &broken, "x".into(), 1 << 20);
    let outline_of = outline(&found);
    let rejected = outline_of.iter().position(|line| line.ends_with("damaged file")).unwrap();
    assert!((10..20).contains(&rejected), "{outline_of:?}");
    assert_eq!(outline_of[9], "row 9");
    assert_eq!(outline_of[rejected], format!("{}: damaged file", rejected + 1));
    assert_eq!(outline_of[rejected + 1..], ["row 20", "row 21", "row 22", "row 23"]);
    let Item::Rejected(_, reason) = &found[rejected] else { panic!("{found:?}") };
    let lost = format!("; {} rows are lost", 20 - rejected);
    assert!(reason.detail.starts_with("row group 2: "), "{}", reason.detail);
    assert!(reason.detail.ends_with(&lost), "{}", reason.detail);

    let cut = items("a.parquet", &whole[..whole.len() - 10], "x".into(), 1 << 20);
    assert_eq!(outline(&cut), ["1: damaged file"]);
    let encrypted = [&whole[..whole.len() - 4], b"PARE"].concat();
    assert_eq!(outline(&items("a", &encrypted, "x".into(), 1 << 20)), ["1: encrypted"]);
}

#[test]
fn rows_larger_than_allowed_cost_themselves() {
    let whole = fs::read(golden().join("none.parquet")).unwrap();
    let found = outline(&items("a.parquet", &whole, "x".into(), 900));
    assert_eq!(found[..3], ["row 0", "row 1", "row 2"]);
    assert_eq!(found[6..], ["7: too large", "row 7"]);
    // The pages of all columns together take more than four times the limit.
    let found = items("a.parquet", &whole, "x".into(), 100);
    let Item::Rejected(_, reason) = &found[0] else { panic!("{found:?}") };
    assert!(reason.detail.contains("its pages take more than 400 bytes at once"));
}

#[test]
fn a_table_without_a_text_column_is_refused_with_the_columns_it_has() {
    let whole = fs::read(golden().join("none.parquet")).unwrap();
    for (field, detail) in [
        ("body", "no column `body` among id, text, label, count, byte, score, small, tags; set"),
        ("count", "column `count` holds no text"),
        ("tags", "column `tags` holds no text"),
    ] {
        let source = json!({"path": "x", "text_field": field});
        let source: Source = serde_json::from_value(source).unwrap();
        let found = items("a.parquet", &whole, source, 1 << 20);
        let Item::Rejected(_, reason) = &found[0] else { panic!("{found:?}") };
        assert_eq!(reason.kind, "no text column");
        assert!(reason.detail.starts_with(detail), "{}", reason.detail);
    }
    let source = serde_json::from_value(json!({"path": "x", "text_field": "label"})).unwrap();
    let found = items("a.parquet", &whole, source, 1 << 20);
    assert_eq!(outline(&found)[..3], ["row 0", "row 1", "3: wrong fields"]);
}

#[test]
fn what_an_archive_unpacks_to_is_limited_and_what_it_lacks_is_named() {
    let book = fs::read(golden().join("book.epub")).unwrap();
    assert_eq!(
        outline(&items("a.epub", &book, "x".into(), book.len() as u64 - 1)),
        ["1: too large"]
    );
    let letter = fs::read(golden().join("letter.docx")).unwrap();
    // The document is far larger than the archive.
    assert_eq!(outline(&items("a.docx", &letter, "x".into(), letter.len() as u64)), ["a.docx:1"]);
    let found = items("a.epub", &letter, "x".into(), 1 << 20);
    let Item::Rejected(_, reason) = &found[0] else { panic!("{found:?}") };
    let expected = ("damaged archive", "META-INF/container.xml: not in it");
    assert_eq!((reason.kind, reason.detail.as_str()), expected);
    let found = items("a.docx", &letter[..letter.len() / 2], "x".into(), 1 << 20);
    assert_eq!(outline(&found), ["1: damaged archive"]);
}

/// A book with these parts beside its container and package file.
fn book(spine: &[&str], parts: &[(&str, &[u8])]) -> Vec<u8> {
    let item = |name: &&str| format!("<item id='{name}' href='{name}.xhtml'/>");
    let itemref = |name: &&str| format!("<itemref idref='{name}'/>");
    let items: String = spine.iter().map(item).collect();
    let itemrefs: String = spine.iter().map(itemref).collect();
    let package = format!(
        "<package><metadata><title><![CDATA[A & B]]></title></metadata><manifest>{items}\
         </manifest><spine>{itemrefs}<itemref idref='unlisted'/></spine></package>"
    );
    let container: &[u8] = b"<container><rootfile full-path='in/p.opf'/></container>";
    let mut zip = zip::ZipWriter::new(std::io::Cursor::new(Vec::new()));
    let first = [("META-INF/container.xml", container), ("in/p.opf", package.as_bytes())];
    for (name, content) in first.iter().chain(parts) {
        zip.start_file(*name, zip::write::SimpleFileOptions::default()).unwrap();
        std::io::Write::write_all(&mut zip, content).unwrap();
    }
    zip.finish().unwrap().into_inner()
}

#[test]
fn a_missing_chapter_costs_itself_and_an_encrypted_book_says_so() {
    let one = ("in/one.xhtml", &b"<p>First &lt; <![CDATA[1 < 2]]></p>"[..]);
    let broken = [
        &b"<?xml version='1.0' encoding='utf-8'?><p>"[..],
        &b"long text ".repeat(60),
        b"caf\xff</p>",
    ]
    .concat();
    let three = ("in/three.xhtml", &broken[..]);
    let found =
        items("a.epub", &book(&["one", "two", "three"], &[one, three]), "x".into(), 1 << 16);
    assert_eq!(outline(&found), ["1: missing part", "1: missing part", "a.epub:1"]);
    let Item::Rejected(_, reason) = &found[0] else { panic!("{found:?}") };
    assert_eq!(reason.detail, "in/two.xhtml: not in the book");
    let Item::Document(_, document) = &found[2] else { panic!("{found:?}") };
    assert!(document.text.starts_with("First < 1 < 2\nlong text"), "{}", document.text);
    assert_eq!(document.meta["title"], "A & B");
    assert_eq!(document.meta["broken_characters"], 1);

    let list = |method: &str, name: &str| {
        format!(
            "<encryption><EncryptedData><EncryptionMethod Algorithm='{method}'/><CipherData>\
             <CipherReference URI='{name}'/></CipherData></EncryptedData></encryption>"
        )
    };
    for (method, name, expected) in [
        ("http://www.w3.org/2001/04/xmlenc#aes128-cbc", "in/one.xhtml", "1: encrypted"),
        ("http://www.idpf.org/2008/embedding", "in/font.otf", "1: missing part"),
    ] {
        let list = list(method, name);
        let parts = [one, ("META-INF/encryption.xml", list.as_bytes())];
        let found = items("a.epub", &book(&["one"], &parts), "x".into(), 1 << 16);
        assert_eq!(outline(&found)[0], expected);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn broken_files_give_items_and_never_a_panic(
        name in prop::sample::select(vec![
            "two-members.jsonl.gz", "two-members.jsonl.bz2", "two-members.jsonl.xz",
            "two-members.jsonl.zst", "crawl.wet.gz", "table.csv", "gbk.csv", "shift-jis.txt",
            "page.html", "gbk.htm", "answers.warc.gz", "letter.docx", "book.epub", "letters.mbox",
            "attachments.eml", "all-types.parquet", "second-pages.parquet", "columns.pdf",
            "chinese.pdf", "truetype.pdf",
        ]),
        edits in prop::collection::vec((any::<Index>(), any::<u8>()), 1..6),
        cut in prop::option::of(any::<Index>()),
    ) {
        let mut bytes = fs::read(golden().join(name)).unwrap();
        for (at, byte) in edits {
            let at = at.index(bytes.len());
            bytes[at] = byte;
        }
        if let Some(cut) = cut {
            bytes.truncate(cut.index(bytes.len()));
        }
        let large = ["docx", "epub", "parquet", "pdf"].iter().any(|end| name.ends_with(end));
        let limit = if large { 1 << 17 } else { 4096 };
        for item in items(name, &bytes, "x".into(), limit) {
            match item {
                Item::Document(_, document) => {
                    prop_assert!(document.text.len() as u64 <= 3 * limit);
                }
                Item::Dialogue(..) => {}
                Item::Rejected(_, reason) => prop_assert_ne!(reason.kind, "parser failed"),
            }
        }
    }
}

#[test]
fn files_of_the_same_name_in_two_folders_are_told_apart() {
    let here = tempfile::tempdir().unwrap();
    for folder in ["a", "b"] {
        std::fs::create_dir(here.path().join(folder)).unwrap();
        std::fs::write(here.path().join(folder).join("index.txt"), folder).unwrap();
    }
    std::fs::write(here.path().join("b/other.txt"), "other").unwrap();
    let files = danlu_data::source_files(&["a".into(), "b/*.txt".into()], here.path()).unwrap();
    let names: Vec<&str> = files.iter().map(|file| file.name.as_str()).collect();
    assert_eq!(names, ["a/index.txt", "b/index.txt", "other.txt"]);
}
