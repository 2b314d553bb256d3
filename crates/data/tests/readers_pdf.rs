//! PDFs that nothing can be read from, and such that were made to do harm: each is one counted
//! item, at a cost that the limits bound.

#![allow(clippy::unwrap_used)]

use std::fs;
use std::io::Write;
use std::path::Path;
use std::time::{Duration, Instant};

use danlu_data::DataConfig;
use danlu_data::readers::{Item, SourceFile, read_file};
use serde_json::json;

/// What a PDF is, or why it is not used.
fn read(bytes: &[u8], max_record_bytes: u64) -> Result<String, String> {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.pdf");
    fs::write(&path, bytes).unwrap();
    let file = SourceFile { path, name: "a.pdf".to_owned(), source: "x".into() };
    let config = json!({"text": ["x"], "max_record_bytes": max_record_bytes});
    let config: DataConfig = serde_json::from_value(config).unwrap();
    let mut found = Vec::new();
    read_file(&file, &config, &mut |item| {
        found.push(item);
        Ok(())
    })
    .unwrap();
    assert_eq!(found.len(), 1);
    match found.remove(0) {
        Item::Document(_, document) => Ok(document.text),
        Item::Rejected(_, reason) => Err(reason.kind.to_owned()),
        other @ Item::Dialogue(..) => panic!("{other:?}"),
    }
}

fn golden(name: &str) -> Vec<u8> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../golden/data/readers");
    fs::read(folder.join(name)).unwrap()
}

/// A file of these objects, the first of which is its catalogue; without a table, as damage leaves.
fn pdf(objects: &[&[u8]]) -> Vec<u8> {
    let mut file = b"%PDF-1.7\n".to_vec();
    for (index, object) in objects.iter().enumerate() {
        file.extend(format!("{} 0 obj\n", index + 1).into_bytes());
        file.extend_from_slice(object);
        file.extend(b"\nendobj\n");
    }
    file.extend(b"trailer\n<</Root 1 0 R>>\n");
    file
}

const CATALOGUE: &[u8] = b"<</Type /Catalog /Pages 2 0 R>>";
const PAGES: &[u8] = b"<</Kids [3 0 R] /Count 1>>";
const PAGE: &[u8] = b"<</Type /Page /Contents 4 0 R /Resources <</Font <</F 5 0 R>> \
    /XObject <</X 6 0 R>>>>>>";
const FONT: &[u8] = b"<</Type /Font /Subtype /Type1 /BaseFont /Helvetica>>";

fn stream(head: &str, data: &[u8]) -> Vec<u8> {
    let head = format!("<<{head} /Length {}>>\nstream\n", data.len());
    [head.as_bytes(), data, b"\nendstream"].concat()
}

fn packed(data: &[u8]) -> Vec<u8> {
    let mut packer = flate2::write::ZlibEncoder::new(Vec::new(), flate2::Compression::best());
    packer.write_all(data).unwrap();
    packer.finish().unwrap()
}

fn page(contents: &[u8], form: &[u8]) -> Vec<u8> {
    pdf(&[CATALOGUE, PAGES, PAGE, contents, FONT, form])
}

#[test]
fn what_has_no_text_is_counted_by_its_reason() {
    let locked = Err("encrypted".to_owned());
    assert_eq!(read(&golden("locked.pdf"), 1 << 20), locked);
    assert_eq!(read(&golden("scanned.pdf"), 1 << 20), Err("no text layer (scanned?)".to_owned()));
    assert_eq!(read(b"%PDF-1.7\nnothing", 1 << 20), Err("damaged file".to_owned()));
    let unknown = stream("", b"BT /F 9 Tf (\x01\x02\x03\x04 ab) Tj ET");
    assert_eq!(read(&page(&unknown, b"null"), 1 << 20), Err("undecodable".to_owned()));
}

#[test]
fn what_is_left_of_a_damaged_file_is_read() {
    let whole = golden("columns.pdf");
    let at = whole.windows(4).position(|window| window == b"xref").unwrap();
    let cut = read(&whole[..at], 1 << 20).unwrap();
    assert_eq!(cut, read(&whole, 1 << 20).unwrap());
    // Not a Length that is right, nor an operator that ends.
    let text = b"<</Length 7>>stream\nBT /F 9 Tf (found) Tj ET BT (and \\\nmore) Tj\nendstream";
    assert_eq!(read(&page(text, b"null"), 1 << 20), Ok("found\nand more".to_owned()));
}

#[test]
fn hostile_files_cost_no_more_than_allowed() {
    let start = Instant::now();
    let limit = 1 << 16;
    let text = stream("", b"BT /F 9 Tf (here) Tj ET /X Do /X Do /X Do");
    let here = || Ok("here".to_owned());
    let large = || Err("too large".to_owned());
    let zeros = packed(&vec![b' '; 1 << 24]);
    let twice = packed(&packed(&vec![b' '; 1 << 26]));
    // A stream larger than a record is not read; forms that hold themselves end somewhere.
    let bomb = stream("/Filter /FlateDecode", &zeros);
    assert_eq!(read(&page(&bomb, b"null"), limit), Err("no text layer (scanned?)".to_owned()));
    let bomb = stream("/Filter [/FlateDecode /FlateDecode]", &twice);
    assert_eq!(read(&page(&bomb, b"null"), limit), Err("no text layer (scanned?)".to_owned()));
    let nested = stream("/Subtype /Form", b"/X Do /X Do /X Do /X Do");
    assert_eq!(read(&page(&text, &nested), limit), large());
    let deep = [&b"<</A "[..], &b"[".repeat(50_000), b">>"].concat();
    assert_eq!(read(&page(&text, &deep), limit), here());
    let many = stream("/Subtype /Form", &b"1 ".repeat(30_000));
    assert_eq!(read(&page(&text, &many), limit), large());
    let circle: &[u8] = b"<</Kids [2 0 R 2 0 R 3 0 R 3 0 R]>>";
    let looped = pdf(&[CATALOGUE, circle, PAGE, &text, FONT, b"6 0 R"]);
    assert_eq!(read(&looped, limit), here());
    let objects = stream("/Type /ObjStm /N 4000000000 /First 0 /Filter /FlateDecode", &zeros);
    assert_eq!(read(&page(&text, &objects), limit), here());
    assert!(start.elapsed() < Duration::from_secs(30), "{:?}", start.elapsed());
}
