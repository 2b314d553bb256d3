//! The commands, one file each: what is typed (`Args`) and what it calls (`run`).

pub mod bench;
pub mod chat;
pub mod data;
pub mod doctor;
pub mod generate;
pub mod inspect;
pub mod run;
pub mod score;
pub mod tokenizer;
pub mod train;
mod using;
pub mod verify;
