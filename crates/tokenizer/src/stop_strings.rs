//! Texts that end an answer, found while it is written, wherever the borders of tokens are.
//!
//! Text that might still become one is held back until it is sure; a text that ends the answer is
//! never given out, nor anything after it.

/// Looks for stop strings in a stream of text.
///
/// ```
/// use danlu_tokenizer::StopStrings;
///
/// let mut stops = StopStrings::new(&["\nUser:".to_owned()]);
/// assert_eq!(stops.push("Hello.\nUs"), "Hello.");
/// assert_eq!(stops.push("e it. \nUse"), "\nUse it. ");
/// assert_eq!(stops.push("r: Hi"), "");
/// assert!(stops.stopped());
/// ```
#[derive(Clone, Debug)]
pub struct StopStrings {
    stops: Vec<String>,
    /// The beginning of a stop string, perhaps.
    held: String,
    stopped: bool,
}

impl StopStrings {
    /// Looks for these; empty ones are never found.
    #[must_use]
    pub fn new(stops: &[String]) -> Self {
        let stops = stops.iter().filter(|stop| !stop.is_empty()).cloned().collect();
        Self { stops, held: String::new(), stopped: false }
    }

    /// Takes more text and returns what is sure to belong to the answer.
    pub fn push(&mut self, text: &str) -> String {
        if self.stopped {
            return String::new();
        }
        self.held.push_str(text);
        let found = self.stops.iter().filter_map(|stop| self.held.find(stop.as_str())).min();
        let sure = found.unwrap_or_else(|| self.held.len() - self.undecided());
        self.stopped = found.is_some();
        let rest = self.held.split_off(sure);
        std::mem::replace(&mut self.held, rest)
    }

    /// Whether a stop string was found.
    #[must_use]
    pub fn stopped(&self) -> bool {
        self.stopped
    }

    /// What was held back, when nothing more comes.
    #[must_use]
    pub fn finish(self) -> String {
        if self.stopped { String::new() } else { self.held }
    }

    /// Bytes at the end that a stop string may begin with.
    fn undecided(&self) -> usize {
        let ends_with = |stop: &String| {
            let starts = stop.char_indices().map(|(start, _)| start).rev();
            starts.into_iter().find(|&len| self.held.ends_with(&stop[..len])).unwrap_or(0)
        };
        self.stops.iter().map(ends_with).max().unwrap_or(0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What a search in the whole text finds.
    fn expected(text: &str, stops: &[String]) -> String {
        let end = stops.iter().filter_map(|stop| text.find(stop.as_str())).min();
        text[..end.unwrap_or(text.len())].to_owned()
    }

    #[test]
    fn any_pieces_give_what_a_search_in_the_whole_text_gives() {
        let texts = ["aabaabaaab", "丹炉丹丹炉火", "abcabcabd", "", "ab\n\nab\n\n\nab"];
        let stops: [&[&str]; 6] =
            [&[], &["aaab"], &["abd", "ca"], &["丹丹", "火"], &["\n\n\n"], &["zz", "b"]];
        for text in texts {
            for stops in stops {
                let stops: Vec<String> = stops.iter().map(|&stop| stop.to_owned()).collect();
                for size in 1..5 {
                    let chars: Vec<char> = text.chars().collect();
                    let mut stream = StopStrings::new(&stops);
                    let mut found = String::new();
                    for piece in chars.chunks(size) {
                        let piece: String = piece.iter().collect();
                        found.push_str(&stream.push(&piece));
                        let whole = expected(text, &stops);
                        assert!(whole.starts_with(&found), "{text:?}, {stops:?}: {found:?}");
                    }
                    let whole = expected(text, &stops);
                    assert_eq!(stream.stopped(), whole.len() < text.len(), "{text:?} {stops:?}");
                    found.push_str(&stream.finish());
                    assert_eq!(found, whole, "{stops:?} in pieces of {size}");
                }
            }
        }
    }

    #[test]
    fn only_what_may_become_a_stop_string_is_held_back() {
        let mut stops = StopStrings::new(&["END".to_owned(), "ED".to_owned()]);
        assert_eq!(stops.push("the E"), "the ");
        assert_eq!(stops.push("N"), "");
        assert_eq!(stops.push("T"), "ENT");
        assert_eq!(stops.push("EE"), "E");
        assert_eq!(stops.clone().finish(), "E");
        assert_eq!((stops.push("D and"), stops.stopped()), (String::new(), true));
        assert_eq!((stops.push("more"), stops.finish()), (String::new(), String::new()));
    }
}
