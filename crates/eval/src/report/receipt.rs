//! `data/report.html`: what a data build read, kept and dropped, and why, for people.

use danlu_data::{Counts, DataReport, Size};

use super::chart::{Bar, bar_chart};
use super::html::{Both, both, escape, heading, page, paragraph, preformatted, table};

/// Bars that a chart of reasons has at most; the table beside it has them all.
const REASONS_DRAWN: usize = 16;

/// Everything the page shows.
#[derive(Clone, Debug)]
pub struct Receipt {
    /// Name of the run.
    pub name: String,
    /// The command that makes it again.
    pub command: String,
    /// The `[data]` section with every setting that decides the result, as TOML.
    pub settings: String,
    /// What was counted.
    pub report: DataReport,
    /// Documents that were dropped, some of each reason.
    pub drops: Vec<Drop>,
    /// sha256 by name of what was read.
    pub inputs: Vec<(String, String)>,
    /// sha256 by name of what was made.
    pub outputs: Vec<(String, String)>,
}

/// A document that was dropped.
#[derive(Clone, Debug)]
pub struct Drop {
    /// `step: reason`.
    pub reason: String,
    /// Its id, or its place where it has none.
    pub name: String,
    /// What exactly was wrong.
    pub detail: String,
    /// The beginning of its text, where the recipe asks for texts.
    pub text: Option<String>,
}

/// A line of the way from what was read to what is kept.
struct Stage {
    name: String,
    left: u64,
    dropped: u64,
    bytes: Option<u64>,
}

impl Receipt {
    /// The page.
    #[must_use]
    pub fn to_html(&self) -> String {
        let body = [
            self.stages(),
            self.kept(),
            self.reasons(),
            self.examples(),
            self.clusters(),
            self.again(),
        ];
        page(&self.name, &escape(&self.summary()), &body.concat())
    }

    fn summary(&self) -> String {
        let report = &self.report;
        format!(
            "{} files, {} records: {} documents ({}) to train on, {} ({}) held out, {} dialogues",
            report.files,
            report.records,
            report.train.total.documents,
            megabytes(report.train.total.bytes),
            report.heldout.total.documents,
            megabytes(report.heldout.total.bytes),
            report.dialogues
        )
    }

    fn stages(&self) -> String {
        let stages = stages(&self.report);
        let bars: Vec<Bar> = stages
            .iter()
            .map(|stage| Bar {
                name: stage.name.clone(),
                value: stage.left as f64,
                note: stage.left.to_string(),
            })
            .collect();
        let rows: Vec<Vec<String>> = stages
            .iter()
            .map(|stage| {
                let bytes = stage.bytes.map_or("-".to_owned(), megabytes);
                vec![stage.name.clone(), stage.dropped.to_string(), bytes, stage.left.to_string()]
            })
            .collect();
        let head = [
            Both("After", "经过"),
            Both("dropped", "去除"),
            Both("of text", "文本量"),
            Both("left", "剩余"),
        ];
        heading(Both("From what was read to what is kept", "从读到的到留下的"))
            + &paragraph(Both(
                "Each step takes documents away, in the order of the recipe; the bars are the \
                 documents left after it.",
                "每个步骤按配方的顺序去掉一些文档；横条是它之后剩余的文档数。",
            ))
            + &bar_chart(&bars, "documents left / 剩余文档")
            + &table(&head, &rows)
    }

    fn kept(&self) -> String {
        let report = &self.report;
        let groups = [
            (Both("Source", "来源路径"), &report.train.by_source, &report.heldout.by_source),
            (Both("Language", "语言"), &report.train.by_language, &report.heldout.by_language),
            (Both("Licence", "许可"), &report.train.by_licence, &report.heldout.by_licence),
            (Both("Origin", "出处"), &report.train.by_origin, &report.heldout.by_origin),
        ];
        let mut out = heading(Both("What is kept", "留下了什么"))
            + &paragraph(Both(
                "The texts to train on, by where they were found, language, licence and origin. \
                 The bars are bytes.",
                "用于训练的文本，按来源路径、语言、许可和出处分列。横条是字节数。",
            ));
        for (title, train, heldout) in groups {
            let mut sizes: Vec<(&String, &Size)> = train.iter().collect();
            sizes.sort_by_key(|(name, size)| (std::cmp::Reverse(size.bytes), *name));
            let bars: Vec<Bar> = sizes
                .iter()
                .map(|(name, size)| Bar {
                    name: (*name).clone(),
                    value: size.bytes as f64,
                    note: megabytes(size.bytes),
                })
                .collect();
            let row = |(name, size): &(&String, &Size)| {
                let held = heldout.get(*name).map_or(0, |size| size.documents);
                let characters = size.characters.to_string();
                let numbers = [size.documents.to_string(), megabytes(size.bytes), characters];
                [vec![(*name).clone()], numbers.to_vec(), vec![held.to_string()]].concat()
            };
            let head = [
                title,
                Both("documents", "文档数"),
                Both("size", "大小"),
                Both("characters", "字符数"),
                Both("held out", "留出"),
            ];
            out.push_str(&format!("<h3>{}</h3>\n", both(title)));
            if bars.len() > 1 {
                out.push_str(&bar_chart(&bars, title.0));
            }
            out.push_str(&table(&head, &sizes.iter().map(row).collect::<Vec<_>>()));
        }
        out
    }

    fn reasons(&self) -> String {
        let reasons = reasons(&self.report);
        if reasons.is_empty() {
            return String::new();
        }
        let bars: Vec<Bar> = reasons
            .iter()
            .take(REASONS_DRAWN)
            .map(|(name, count, _)| Bar {
                name: name.clone(),
                value: *count as f64,
                note: count.to_string(),
            })
            .collect();
        let rows: Vec<Vec<String>> = reasons
            .iter()
            .map(|(name, count, bytes)| {
                let bytes = bytes.map_or("-".to_owned(), megabytes);
                vec![name.clone(), count.to_string(), bytes]
            })
            .collect();
        let head = [
            Both("Step and reason", "步骤与原因"),
            Both("dropped", "去除"),
            Both("of text", "文本量"),
        ];
        heading(Both("What was dropped, and why", "去掉了什么，为什么"))
            + &paragraph(Both(
                "Nothing is dropped without a reason; dropped.jsonl lists every record.",
                "没有理由的，一篇也不丢；dropped.jsonl 逐条列出。",
            ))
            + &bar_chart(&bars, "dropped / 去除")
            + &table(&head, &rows)
    }

    fn examples(&self) -> String {
        if self.drops.is_empty() {
            return String::new();
        }
        let mut out = heading(Both("Some of what was dropped", "被去掉的一些例子"))
            + &paragraph(Both(
                "The first of each reason. With data.dropped_texts_per_mille, texts are shown too.",
                "每种原因的前几例。设置 data.dropped_texts_per_mille 后也会显示文本。",
            ));
        for drop in &self.drops {
            let detail = match drop.detail.is_empty() {
                true => String::new(),
                false => format!(" ({})", drop.detail),
            };
            let title = escape(&format!("{}{detail}: {}", drop.reason, drop.name));
            out.push_str(&format!("<p>{title}</p>\n"));
            if let Some(text) = &drop.text {
                out.push_str(&preformatted(text));
            }
        }
        out
    }

    fn clusters(&self) -> String {
        let report = &self.report;
        if report.largest_clusters.is_empty() {
            return String::new();
        }
        let rows: Vec<Vec<String>> = report
            .largest_clusters
            .iter()
            .map(|cluster| vec![cluster.size.to_string(), cluster.ids.join(", ")])
            .collect();
        let head = [Both("Documents", "文档数"), Both("among them", "其中有")];
        heading(Both("Texts that are nearly the same", "几乎相同的文本"))
            + &paragraph(Both(
                &format!(
                    "{} clusters; of each, one document is kept. The largest:",
                    report.clusters
                ),
                &format!("共 {} 组，每组只留一篇。最大的几组：", report.clusters),
            ))
            + &table(&head, &rows)
    }

    fn again(&self) -> String {
        let list = |hashes: &[(String, String)]| -> String {
            hashes.iter().map(|(name, hash)| format!("{hash}  {name}\n")).collect()
        };
        heading(Both("Make it again", "重做一遍"))
            + &paragraph(Both(
                "The same inputs give the same bytes, for any number of workers and any memory.",
                "同样的输入得到同样的字节，与线程数和内存无关。",
            ))
            + &preformatted(&self.command)
            + &details("[data]", &self.settings)
            + &details("sha256: inputs / 输入", &list(&self.inputs))
            + &details("sha256: outputs / 输出", &list(&self.outputs))
    }
}

fn details(title: &str, text: &str) -> String {
    format!("<details><summary>{}</summary>{}</details>\n", escape(title), preformatted(text))
}

fn megabytes(bytes: u64) -> String {
    format!("{:.2} MB", bytes as f64 / 1e6)
}

/// The steps in their order, with what is left after each.
fn stages(report: &DataReport) -> Vec<Stage> {
    let rejected: u64 = report.rejected.values().sum();
    let dropped: u64 = report.dropped.values().sum();
    let kept = report.train.total.documents + report.heldout.total.documents;
    let read = kept + report.duplicates + report.near_duplicates + dropped + rejected;
    let mut stages = vec![Stage { name: "read".to_owned(), left: read, dropped: 0, bytes: None }];
    let mut left = read;
    let mut add = |name: &str, dropped: u64, bytes| {
        left -= dropped;
        stages.push(Stage { name: name.to_owned(), left, dropped, bytes });
    };
    add("usable", rejected, None);
    let mut named: Vec<&str> = Vec::new();
    for step in &report.steps {
        if named.contains(&step.name.as_str()) {
            continue;
        }
        named.push(&step.name);
        let of_step = |(name, count): (&String, &u64)| {
            name.split_once(": ").is_some_and(|(name, _)| name == step.name).then_some(*count)
        };
        let dropped: u64 = report.dropped.iter().filter_map(of_step).sum();
        let bytes: u64 = report.dropped_bytes.iter().filter_map(of_step).sum();
        add(&step.name, dropped, Some(bytes));
    }
    add("no exact duplicates", report.duplicates, Some(report.duplicate_bytes));
    add("no near-duplicates", report.near_duplicates, Some(report.near_duplicate_bytes));
    if report.duplicate_spans.is_some() {
        let of_spans = |counts: &Counts| -> u64 {
            let spans = counts.iter().filter(|(name, _)| name.starts_with("duplicate_spans: "));
            spans.map(|(_, count)| count).sum()
        };
        let (dropped, bytes) = (of_spans(&report.dropped), of_spans(&report.dropped_bytes));
        add("enough left without duplicate spans", dropped, Some(bytes));
    }
    let heldout = &report.heldout.total;
    add("held out put aside", heldout.documents, Some(heldout.bytes));
    stages
}

/// Every reason with how many it dropped, most first, and of how many bytes.
fn reasons(report: &DataReport) -> Vec<(String, u64, Option<u64>)> {
    let read = report.rejected.iter().map(|(name, n)| (format!("read: {name}"), *n, None));
    let steps = report
        .dropped
        .iter()
        .map(|(name, n)| (name.clone(), *n, report.dropped_bytes.get(name).copied()));
    let dialogues =
        report.dialogues_dropped.iter().map(|(name, n)| (format!("dialogues: {name}"), *n, None));
    let same = [
        ("the same text", report.duplicates, report.duplicate_bytes),
        ("nearly the same text", report.near_duplicates, report.near_duplicate_bytes),
    ];
    let same = same.into_iter().filter(|(_, count, _)| *count > 0);
    let same = same.map(|(name, n, bytes)| (format!("deduplicate: {name}"), n, Some(bytes)));
    let mut reasons: Vec<_> = read.chain(steps).chain(dialogues).chain(same).collect();
    reasons.sort_by(|a, b| b.1.cmp(&a.1).then_with(|| a.0.cmp(&b.0)));
    reasons
}

#[cfg(test)]
mod tests {
    use super::*;
    use danlu_data::Cluster;
    use danlu_data::steps::StepConfig;

    const HOSTILE: &str = "<script>alert(1)</script>";

    fn receipt() -> Receipt {
        let mut report = DataReport {
            files: 2,
            records: 100,
            duplicates: 5,
            duplicate_bytes: 2_000_000,
            clusters: 1,
            largest_clusters: vec![Cluster { size: 9, ids: vec![HOSTILE.to_owned()] }],
            steps: vec![StepConfig::new("nfc"), StepConfig::new("length")],
            ..DataReport::default()
        };
        let size = |documents, bytes| Size { documents, bytes, characters: bytes };
        report.train.total = size(70, 7_000_000);
        report.train.by_source.insert(HOSTILE.to_owned(), size(70, 7_000_000));
        report.heldout.total = size(10, 1_000_000);
        report.rejected.insert("not JSON".to_owned(), 3);
        report.dropped.insert("length: too short".to_owned(), 12);
        report.dropped_bytes.insert("length: too short".to_owned(), 120_000);
        let drop = Drop {
            reason: "length: too short".to_owned(),
            name: HOSTILE.to_owned(),
            detail: "3 characters".to_owned(),
            text: Some(HOSTILE.to_owned()),
        };
        Receipt {
            name: "corpus".to_owned(),
            command: "danlu data build corpus.toml".to_owned(),
            settings: "text = []".to_owned(),
            report,
            drops: vec![drop],
            inputs: vec![("en.jsonl".to_owned(), "ab".repeat(32))],
            outputs: vec![("clean.jsonl".to_owned(), "cd".repeat(32))],
        }
    }

    #[test]
    fn every_document_that_was_read_is_accounted_for_step_by_step() {
        let stages = stages(&receipt().report);
        let left: Vec<(&str, u64)> =
            stages.iter().map(|stage| (stage.name.as_str(), stage.left)).collect();
        let expected = [
            ("read", 100),
            ("usable", 97),
            ("nfc", 97),
            ("length", 85),
            ("no exact duplicates", 80),
            ("no near-duplicates", 80),
            ("held out put aside", 70),
        ];
        assert_eq!(left, expected);
    }

    #[test]
    fn the_page_shows_what_it_was_given_and_nothing_of_it_is_markup() {
        let page = receipt().to_html();
        for shown in [
            "7.00 MB",
            "0.12 MB",
            "2.00 MB",
            "length: too short",
            "3 characters",
            "not JSON",
            "danlu data build corpus.toml",
            &"ab".repeat(32),
            &"cd".repeat(32),
            "<svg",
            "1 clusters",
        ] {
            assert!(page.contains(shown), "{shown}");
        }
        assert!(page.contains(&escape(HOSTILE)) && !page.contains("<script"));
        let count = |class: &str| page.matches(class).count();
        assert_eq!(count("class=\"en\""), count("class=\"zh\""), "as much in both languages");
    }
}
