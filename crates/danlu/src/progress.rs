//! What a person sees while a command works: a bar on a terminal, plain lines in a log.
//!
//! All of it goes to stderr, so that stdout holds nothing but results.

use std::io::{IsTerminal, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use danlu::pipeline::{Moment, Watch};
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

/// Time between plain lines of one stage.
const PLAIN_INTERVAL: Duration = Duration::from_secs(10);

/// Shows progress and knows whether the user asked to stop.
pub struct Progress {
    bar: Option<ProgressBar>,
    on_terminal: bool,
    stop: Arc<AtomicBool>,
    stage: String,
    last_line: Option<Instant>,
}

impl Progress {
    /// Progress for this process; the first Ctrl-C asks to stop at the next safe point, the second
    /// ends the process at once (which loses nothing that a kill would not).
    ///
    /// # Errors
    /// When the system refuses the signal handler.
    pub fn new() -> anyhow::Result<Self> {
        let stop = Arc::new(AtomicBool::new(false));
        let flag = Arc::clone(&stop);
        ctrlc::set_handler(move || {
            if flag.swap(true, Ordering::SeqCst) {
                // The user insists; checkpoints on disk are whole at any moment.
                #[allow(clippy::exit)]
                std::process::exit(130);
            }
        })?;
        let on_terminal = std::io::stderr().is_terminal();
        Ok(Self { bar: None, on_terminal, stop, stage: String::new(), last_line: None })
    }

    fn line(&self, text: &str) {
        match &self.bar {
            Some(bar) if self.on_terminal => bar.println(text),
            // A closed stderr must not end a run.
            _ => drop(writeln!(std::io::stderr().lock(), "{text}")),
        }
    }
}

impl Watch for Progress {
    fn stage(&mut self, name: &str, steps: Option<u64>) {
        if let Some(bar) = self.bar.take() {
            bar.finish_and_clear();
        }
        let new = self.stage != name;
        name.clone_into(&mut self.stage);
        self.last_line = None;
        if self.on_terminal {
            let bar = ProgressBar::with_draw_target(steps, ProgressDrawTarget::stderr());
            let template = match steps {
                Some(_) => "{prefix:>10} {bar:24} {pos}/{len} {wide_msg} {eta} left",
                None => "{prefix:>10} {spinner} {wide_msg}",
            };
            if let Ok(style) = ProgressStyle::with_template(template) {
                bar.set_style(style);
            }
            bar.set_prefix(name.to_owned());
            bar.enable_steady_tick(Duration::from_millis(200));
            self.bar = Some(bar);
        } else if new {
            self.line(&format!("{name}: started"));
        }
    }

    fn moment(&mut self, moment: &Moment) {
        let message = format!("loss {:.3}  {:.0} tokens/s", moment.loss, moment.tokens_per_s);
        if let Some(bar) = &self.bar {
            bar.set_length(moment.steps);
            bar.set_position(moment.step);
            bar.set_message(message);
            return;
        }
        let due = self.last_line.is_none_or(|last| last.elapsed() >= PLAIN_INTERVAL);
        if due || moment.step == moment.steps {
            self.last_line = Some(Instant::now());
            self.line(&format!(
                "{}: step {}/{}  {message}  {} left",
                self.stage,
                moment.step,
                moment.steps,
                duration(moment.left)
            ));
        }
    }

    fn note(&mut self, text: &str) {
        self.line(text);
    }

    fn stopped(&self) -> bool {
        self.stop.load(Ordering::SeqCst)
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        if let Some(bar) = self.bar.take() {
            bar.finish_and_clear();
        }
    }
}

/// `1:02:03` or `4:05`.
#[must_use]
pub fn duration(time: Duration) -> String {
    let seconds = time.as_secs();
    let (hours, minutes, seconds) = (seconds / 3600, seconds / 60 % 60, seconds % 60);
    if hours > 0 {
        format!("{hours}:{minutes:02}:{seconds:02}")
    } else {
        format!("{minutes}:{seconds:02}")
    }
}
