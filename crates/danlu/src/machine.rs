//! What this machine has: threads, memory, huge pages.

use anyhow::{Context, Result, ensure};

/// Threads to compute with: `DANLU_THREADS`, or one for each core that this process may use.
///
/// # Errors
/// When `DANLU_THREADS` is not a number between 1 and 1024.
pub fn threads() -> Result<usize> {
    match std::env::var("DANLU_THREADS") {
        Ok(text) => {
            let threads: usize = text
                .parse()
                .with_context(|| format!("DANLU_THREADS={text}: expected a number of threads"))?;
            ensure!((1..=1024).contains(&threads), "DANLU_THREADS={threads}: expected 1..1024");
            Ok(threads)
        }
        Err(_) => Ok(std::thread::available_parallelism().map_or(1, usize::from)),
    }
}

/// A field of a `/proc` file of `Name: value kB` lines, in bytes; `None` where there is no such
/// file or field.
#[must_use]
pub fn proc_bytes(file: &str, field: &str) -> Option<u64> {
    let text = std::fs::read_to_string(file).ok()?;
    let value = text.lines().find_map(|line| line.strip_prefix(field)?.strip_prefix(':'))?;
    let kib: u64 = value.split_whitespace().next()?.parse().ok()?;
    Some(kib * 1024)
}

/// The most memory this process has held so far, in bytes, where the system says.
#[must_use]
pub fn peak_resident_bytes() -> Option<u64> {
    proc_bytes("/proc/self/status", "VmHWM")
}

/// Memory of the machine and what is free of it, in bytes, where the system says.
#[must_use]
pub fn memory_bytes() -> Option<(u64, u64)> {
    let field = |name| proc_bytes("/proc/meminfo", name);
    Some((field("MemTotal")?, field("MemAvailable")?))
}

/// The processor's name, where the system says.
#[must_use]
pub fn processor() -> Option<String> {
    let text = std::fs::read_to_string("/proc/cpuinfo").ok()?;
    let line = text.lines().find(|line| line.starts_with("model name"))?;
    Some(line.split_once(':')?.1.trim().to_owned())
}

/// The system's setting for transparent huge pages, where it has one.
#[must_use]
pub fn huge_pages() -> Option<String> {
    let text = std::fs::read_to_string("/sys/kernel/mm/transparent_hugepage/enabled").ok()?;
    let chosen = text.split('[').nth(1)?.split(']').next()?;
    Some(chosen.to_owned())
}
