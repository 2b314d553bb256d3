//! The commands, one file each: what is typed (`Args`) and what it calls (`run`).

pub mod answer;
pub mod bench;
pub mod chat;
pub mod convert;
pub mod data;
pub mod doctor;
pub mod exporting;
pub mod generate;
pub mod inspect;
pub mod quantize;
pub mod run;
pub mod sampling;
pub mod score;
pub mod tokenizer;
pub mod train;
pub mod using;
pub mod verify;
