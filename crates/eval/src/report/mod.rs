//! `report.html`: what a run made and out of what, for a reader who is new to it, in English and
//! Chinese, as one file without scripts or links to elsewhere.

mod chart;
pub mod html;
pub mod receipt;

use std::fmt::Write as _;

use serde::{Deserialize, Serialize};

use chart::{Line, line_chart};
use html::{Both, both, escape, heading, paragraph, preformatted, table};

/// Everything the page shows.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Report {
    /// Name of the run.
    pub name: String,
    /// The model in one line: family, weights, sizes.
    pub model: String,
    /// Number of weights.
    pub weights: u64,
    /// Machine, threads, instruction level and versions.
    pub machine: String,
    /// How to talk to the model.
    pub command: String,
    /// Bits per byte on held-out text, ours and the yardsticks.
    pub scores: Vec<Score>,
    /// Conversations with the finished model.
    pub samples: Vec<Sample>,
    /// Training on running text.
    pub pretrain: Curve,
    /// Training on dialogues.
    pub sft: Option<Curve>,
    /// What happened to the documents: one line a step.
    pub cleaning: Vec<CleaningStep>,
    /// Where the texts come from.
    pub sources: Vec<Source>,
    /// Facts about the vocabulary, `name (en), name (zh), value`.
    pub vocabulary: Vec<[String; 3]>,
    /// Steps that were caught and left out.
    pub incidents: Vec<String>,
    /// sha256 by file.
    pub hashes: Vec<(String, String)>,
    /// The effective recipe.
    pub recipe: String,
}

/// Bits per byte of one model or compressor on the held-out text. Lower is better.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Score {
    /// Who.
    pub name: String,
    /// In Chinese.
    pub name_zh: String,
    /// On all held-out text.
    pub bits_per_byte: f64,
    /// On the English part, if there is one.
    pub english: Option<f64>,
    /// On the Chinese part, if there is one.
    pub chinese: Option<f64>,
}

/// A conversation.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Sample {
    /// `(role, text)`, the answers included.
    pub turns: Vec<(String, String)>,
}

/// How training went.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Curve {
    /// `(step, loss)`.
    pub loss: Vec<(f64, f64)>,
    /// `(step, bits per byte)` on held-out text.
    pub heldout: Vec<(f64, f64)>,
    /// Tokens trained on.
    pub tokens: u64,
    /// Times the training text was read.
    pub epochs: f64,
}

/// What one cleaning step did.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct CleaningStep {
    /// The step.
    pub name: String,
    /// Why documents went.
    pub reason: String,
    /// How many.
    pub dropped: u64,
}

/// Documents of one origin.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Source {
    /// Origin and licence, as the documents say.
    pub name: String,
    /// Documents kept.
    pub documents: u64,
    /// Their bytes.
    pub bytes: u64,
}

impl Report {
    /// The page.
    #[must_use]
    pub fn to_html(&self) -> String {
        let sections = [
            self.at_a_glance(),
            self.conversations(),
            self.curves(),
            self.data(),
            self.tokens(),
            self.again(),
        ];
        let lead = format!("{}<br>{}", escape(&self.model), escape(&self.machine));
        html::page(&self.name, &lead, &sections.concat())
    }

    fn at_a_glance(&self) -> String {
        let share = |value: Option<f64>| value.map_or("-".to_owned(), |v| format!("{v:.3}"));
        let mut rows = String::new();
        for score in &self.scores {
            let _ = writeln!(
                rows,
                "<tr><td>{}</td><td><b>{:.3}</b></td><td>{}</td><td>{}</td></tr>",
                both(Both(&score.name, &score.name_zh)),
                score.bits_per_byte,
                share(score.english),
                share(score.chinese)
            );
        }
        let head = [
            Both("Who predicts the text", "由谁预测"),
            Both("bits per byte", "每字节比特"),
            Both("English", "英文"),
            Both("Chinese", "中文"),
        ];
        let head: String = head.iter().map(|cell| format!("<th>{}</th>", both(*cell))).collect();
        heading(Both("How well it knows the language", "它对语言掌握得如何"))
            + &paragraph(Both(
                "Part of the texts was put aside before training; the model never saw it. A model \
                 that knows the language is less surprised by it. Surprise is measured in bits per \
                 byte: how many bits it would take to store the held-out text with the model's \
                 help. Lower is better. Plain text takes 8; the other rows are yardsticks that \
                 were given the same training text.",
                "训练之前先留出一部分文本，模型从未见过。懂得这门语言的模型不会对它感到意外。\
                 意外程度以“每字节比特”衡量：借助模型来存储这些留出的文本，平均每个字节需要多少比特。\
                 越低越好。不压缩的文本是 8；其余各行是给了同样训练文本的对照。",
            ))
            + &format!("<table><thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table>\n")
    }

    fn conversations(&self) -> String {
        let mut out = heading(Both("What it says", "它会说什么"))
            + &paragraph(Both(
                "Answers of the finished model, as they came, none picked out. The same command \
                 gives the same answers.",
                "以下是训练完成的模型的回答，原样照录，没有挑选。同样的命令会得到同样的回答。",
            ));
        for sample in &self.samples {
            out.push_str("<div class=\"chat\">");
            for (role, text) in &sample.turns {
                let class = if role == "assistant" { "assistant" } else { "user" };
                let _ = writeln!(out, "<div class=\"turn {class}\">{}</div>", escape(text));
            }
            out.push_str("</div>\n");
        }
        out + &paragraph(Both("Talk to it yourself:", "你也来和它说话："))
            + &preformatted(&self.command)
    }

    fn curves(&self) -> String {
        let mut out = heading(Both("How it learned", "它是怎样学会的"))
            + &paragraph(Both(
                "Training shows the model a piece of text and asks for the next token, over and \
                 over. The loss is how surprised it was, averaged over a step; it falls as the \
                 model learns. The dots are the held-out text: if they rose while the loss kept \
                 falling, the model would be learning by heart.",
                "训练就是一遍遍地给模型看一段文字，让它猜下一个词元。损失是它每一步平均的意外程度，\
                 学得越多就越低。圆点是留出的文本：如果损失继续下降而圆点上升，说明模型在死记硬背。",
            ));
        let named = [
            (Some(&self.pretrain), Both("Pretraining: running text", "预训练：连续的文本")),
            (self.sft.as_ref(), Both("Instruction tuning: dialogues", "指令微调：对话")),
        ];
        for (curve, title) in named {
            let Some(curve) = curve else { continue };
            let _ = writeln!(out, "<h3>{}</h3>", both(title));
            out.push_str(&curve.to_html());
        }
        if !self.incidents.is_empty() {
            out.push_str(&paragraph(Both(
                "Steps that were caught as broken and left out:",
                "被判为异常而跳过的步骤：",
            )));
            out.push_str(&preformatted(&self.incidents.join("\n")));
        }
        out
    }

    fn data(&self) -> String {
        let sources = self.sources.iter().map(|s| {
            vec![s.name.clone(), s.documents.to_string(), format!("{:.2}", s.bytes as f64 / 1e6)]
        });
        let steps = self
            .cleaning
            .iter()
            .map(|s| vec![s.name.clone(), s.reason.clone(), s.dropped.to_string()]);
        let source_head = [Both("Origin", "来源"), Both("documents", "文档数"), Both("MB", "MB")];
        let step_head = [Both("Step", "步骤"), Both("reason", "原因"), Both("dropped", "去除")];
        heading(Both("What it read", "它读了什么"))
            + &paragraph(Both(
                "The texts after cleaning, by origin and licence.",
                "清洗之后的文本，按来源和许可分列。",
            ))
            + &table(&source_head, &sources.collect::<Vec<_>>())
            + &paragraph(Both(
                "What the cleaning took away, and why. Nothing is dropped without a reason.",
                "清洗去掉了什么，为什么。没有理由的，一篇也不丢。",
            ))
            + &table(&step_head, &steps.collect::<Vec<_>>())
    }

    fn tokens(&self) -> String {
        let facts = self.vocabulary.iter().map(|[en, zh, value]| {
            format!("<tr><td>{}</td><td>{}</td></tr>\n", both(Both(en, zh)), escape(value))
        });
        heading(Both("Its words", "它的词汇"))
            + &paragraph(Both(
                "A model reads tokens, not letters: frequent pieces of text, found by counting. \
                 The more bytes a token covers, the less there is to read and to write.",
                "模型读的不是字母而是词元：通过统计找出的常见片段。每个词元覆盖的字节越多，要读写的就越少。",
            ))
            + &format!("<table><tbody>{}</tbody></table>\n", facts.collect::<String>())
    }

    fn again(&self) -> String {
        let hashes: String =
            self.hashes.iter().map(|(file, hash)| format!("{hash}  {file}\n")).collect();
        heading(Both("Make it again", "重做一遍"))
            + &paragraph(Both(
                "The recipe with every setting, and the hashes of what it made. The same recipe on \
                 the same kind of machine gives the same bytes.",
                "完整的配方和产物的哈希值。在同类机器上，同样的配方得到同样的字节。",
            ))
            + &format!(
                "<details><summary>recipe.toml</summary>{}</details>\n",
                preformatted(&self.recipe)
            )
            + &format!("<details><summary>sha256</summary>{}</details>\n", preformatted(&hashes))
    }
}

impl Curve {
    fn to_html(&self) -> String {
        let loss =
            Line { name: "training loss / 训练损失", points: self.loss.clone(), dots: false };
        let heldout =
            Line { name: "held out / 留出文本", points: self.heldout.clone(), dots: true };
        let mut out = line_chart(&[loss], "step / 步", "loss, nats per token / 损失");
        out.push_str(&line_chart(&[heldout], "step / 步", "bits per byte / 每字节比特"));
        let tokens = self.tokens as f64 / 1e6;
        out + &paragraph(Both(
            &format!("{tokens:.2} million tokens, the texts read {:.1} times.", self.epochs),
            &format!("共 {tokens:.2} 百万词元，文本读了 {:.1} 遍。", self.epochs),
        ))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOSTILE: &str = "<script>alert(1)</script><img src=http://example.com/x.png>\u{1b}[2J";

    fn curve(steps: u32) -> Curve {
        let loss = (1..=steps).map(|i| (f64::from(i), 9.0 / f64::from(i))).collect();
        Curve { loss, heldout: vec![(f64::from(steps), 2.5)], tokens: 1_234_567, epochs: 1.5 }
    }

    /// Every field holds `text`, so that each has to be escaped.
    fn report(text: &str) -> Report {
        let text = || text.to_owned();
        let score = |name_zh: &str, bits_per_byte| Score {
            name: text(),
            name_zh: name_zh.to_owned(),
            bits_per_byte,
            english: Some(1.75),
            chinese: None,
        };
        Report {
            name: text(),
            model: text(),
            weights: 1000,
            machine: text(),
            command: text(),
            scores: vec![score("本模型", 1.5), score("五阶字符模型", 2.25)],
            samples: vec![Sample {
                turns: vec![("user".to_owned(), text()), ("assistant".to_owned(), text())],
            }],
            pretrain: curve(50),
            sft: Some(curve(2000)),
            cleaning: vec![CleaningStep { name: text(), reason: text(), dropped: 17 }],
            sources: vec![Source { name: text(), documents: 3, bytes: 4_500_000 }],
            vocabulary: vec![[text(), text(), text()]],
            incidents: vec![text()],
            hashes: vec![(text(), "ab".repeat(32))],
            recipe: text(),
        }
    }

    #[test]
    fn the_page_needs_nothing_but_itself_whatever_the_texts_hold() {
        for text in ["a poem", HOSTILE] {
            let page = report(text).to_html();
            for forbidden in ["<script", "<img", "<link", "<iframe", "src=", "@import", "url("] {
                let inside = page.replace(&escape(text), "");
                assert!(!inside.contains(forbidden), "{forbidden} is in the page");
            }
            assert!(!page.contains("<script") && !page.contains('\u{1b}'));
            let elsewhere = page.replace(&escape(text), "");
            assert!(!elsewhere.contains("http://") && !elsewhere.contains("https://"));
        }
    }

    #[test]
    fn every_element_that_is_opened_is_closed() {
        for report in [report(HOSTILE), Report { sft: None, incidents: vec![], ..report("a") }] {
            let page = report.to_html();
            for name in ["div", "table", "tr", "td", "p", "h2", "h3", "pre", "svg", "span", "body"]
            {
                let opened = page.matches(&format!("<{name} ")).count()
                    + page.matches(&format!("<{name}>")).count();
                assert_eq!(opened, page.matches(&format!("</{name}>")).count(), "{name}");
            }
        }
    }

    #[test]
    fn the_page_shows_every_number_in_both_languages() {
        let page = report("the run").to_html();
        for shown in [
            "1.500",
            "2.250",
            "1.750",
            "本模型",
            "五阶字符模型",
            "17",
            "4.50",
            "1.23 million",
            "1.23 百万",
            "1.5 遍",
            "每字节比特",
            "bits per byte",
            "the run",
        ] {
            assert!(page.contains(shown), "{shown}");
        }
        assert!(page.contains(&"ab".repeat(32)) && page.contains("<svg"));
        let (english, chinese) =
            (page.matches("class=\"en\"").count(), page.matches("class=\"zh\"").count());
        assert_eq!(english, chinese, "as much in one language as in the other");
    }

    #[test]
    fn the_same_facts_give_the_same_page() {
        let page = report("the run").to_html();
        let json = serde_json::to_string(&report("the run")).unwrap();
        let again: Report = serde_json::from_str(&json).unwrap();
        assert_eq!(again.to_html(), page);
    }
}
