//! Bytes that somebody damaged or made up: an error, never a panic, never more memory than a small
//! multiple of the file.
#![allow(clippy::unwrap_used)]

mod common;

use common::{
    HandMadeGguf, ONE_STORAGE, Random, SEEDS, legacy, mutate, read_all, seed, tensor_opcodes, text,
};

/// Cases per seed file.
const CASES: u64 = 50_000;
/// What a process that reads files of a few kilobytes, one after the other, may ever need.
const PEAK_BYTES_MAX: usize = 512 << 20;

#[test]
fn a_file_cut_anywhere_is_an_error() {
    for file in SEEDS {
        let bytes = seed(file);
        read_all(bytes.clone()).unwrap();
        for len in 0..bytes.len() {
            assert!(read_all(bytes[..len].to_vec()).is_err(), "{file} cut to {len} bytes was read");
        }
    }
}

/// The largest memory this process ever had, where the system says it.
fn peak_bytes() -> usize {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap_or("0 kB");
    line.trim().trim_end_matches(" kB").parse::<usize>().unwrap() * 1024
}

/// Mutates one seed file many times.
fn mutated(file: &str) {
    let original = seed(file);
    let other =
        seed(SEEDS[(SEEDS.iter().position(|name| *name == file).unwrap() + 1) % SEEDS.len()]);
    let mut accepted = 0;
    for case in 0..CASES {
        let mut random = Random(case ^ original.len() as u64);
        let mut bytes = original.clone();
        for _ in 0..=random.below(4) {
            mutate(&mut bytes, &other, &mut random);
        }
        accepted += u64::from(read_all(bytes).is_ok());
    }
    // Changed weights are weights, so some pass; a changed structure must not, so most do not.
    assert!(accepted < CASES / 2, "{file}: {accepted} of {CASES} mutants were read");
    assert!(accepted > 0, "{file}: no mutant was read, so little of the reader was");
    assert!(peak_bytes() < PEAK_BYTES_MAX, "{} bytes at most", peak_bytes());
}

macro_rules! mutants_never_panic {
    ($($name:ident: $file:literal,)*) => {$(
        #[test]
        fn $name() {
            mutated($file);
        }
    )*};
}

mutants_never_panic! {
    mutants_of_gguf_never_panic: "model.gguf",
    mutants_of_torch_zip_never_panic: "views.pth",
    mutants_of_torch_protocol_4_never_panic: "protocol4.pt",
    mutants_of_torch_legacy_never_panic: "legacy.pth",
    mutants_of_torch_legacy_modules_never_panic: "legacy_module.pth",
    mutants_of_nested_torch_never_panic: "nested.bin",
    mutants_of_safetensors_never_panic: "dtypes.safetensors",
}

/// The message about bytes that must not be read.
fn message(bytes: Vec<u8>) -> String {
    let message = read_all(bytes).unwrap_err().to_string();
    assert!(message.starts_with("hostile"), "{message}: names no file");
    assert!(!message.contains('\n') && message.len() < 500, "{message}: is not one line");
    message
}

fn check(cases: Vec<(&str, Vec<u8>, &str)>) {
    for (name, bytes, expected) in cases {
        let message = message(bytes);
        assert!(message.contains(expected), "{name}: {message}");
    }
}

#[test]
fn lies_in_a_gguf_are_errors_that_say_what_is_wrong() {
    let new = HandMadeGguf::new;
    let one = |dims: &[u64], kind| new().tensor("x", dims, kind, 0).data(64).bytes();
    let alignment = |bytes: &[u8]| new().key("general.alignment", 4, bytes).bytes();
    let counts = |tensor_count, key_count| HandMadeGguf { tensor_count, key_count, ..new() };
    assert_eq!(read_all(one(&[16], 0)).unwrap(), 1, "what the lies are about");
    let nested = [&[9, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0][..]; 6].concat();
    let duplicate = new().key("k", 0, &[1]).key("k", 0, &[2]).bytes();
    let overlap = new().tensor("a", &[16], 0, 0).tensor("b", &[8], 0, 32).data(64).bytes();
    let twice = new().tensor("a", &[8], 0, 0).tensor("a", &[8], 0, 32).data(64).bytes();
    check(vec![
        ("version 1", HandMadeGguf { version: 1, ..new() }.bytes(), "GGUF version 1; versions 2"),
        ("big-endian", HandMadeGguf { version: 3 << 24, ..new() }.bytes(), "a big-endian file"),
        ("many tensors", counts(u64::MAX, 0).bytes(), "the number of tensors at byte 8 is 1844"),
        ("many keys", counts(0, 1 << 60).bytes(), "the number of metadata keys at byte 16"),
        ("a long key", new().key("", 0, &[]).bytes()[..24].to_vec(), "at byte 16 is 1, 0 bytes"),
        ("value type", new().key("k", 13, &[0; 8]).bytes(), "the value type 13 at byte 33"),
        ("boolean", new().key("k", 7, &[2]).bytes(), "metadata `k`: the boolean at byte 37 is 2"),
        ("text", new().key("k", 8, &[1, 0, 0, 0, 0, 0, 0, 0, 0xff]).bytes(), "is not UTF-8"),
        ("deep arrays", new().key("k", 9, &nested).bytes(), "lies in 4 others"),
        ("two keys", duplicate, "metadata `k` is there twice, again at byte 38"),
        ("alignment 0", alignment(&[0; 4]), "`general.alignment` is U32(0)"),
        ("alignment 3", alignment(&[3, 0, 0, 0]), "not a U32 power of two"),
        ("vast alignment", alignment(&[0, 0, 0, 0x80]), "power of two up to 1048576"),
        ("five dimensions", one(&[1; 5], 0), "tensor `x` at byte 24 has 5 dimensions, at most 4"),
        ("overflow", one(&[1 << 33, 1 << 33], 0), "cannot be F32 [8589934592, 8589934592]"),
        ("half a block", one(&[16], 8), "tensor `x` (byte 24 of the header) cannot be Q8_0 [16]"),
        ("too long", one(&[17], 0), "has 68 bytes from byte 0 of the data, which begins at 64"),
        (
            "far away",
            new().tensor("x", &[1], 0, u64::MAX).bytes(),
            "from byte 18446744073709551615",
        ),
        ("misaligned", new().tensor("x", &[1], 0, 4).data(8).bytes(), "not at a multiple of 32"),
        ("overlap", overlap, "tensors `a` and `b` overlap at byte"),
        ("two tensors", twice, "two tensors are named `a`"),
        ("unread type", one(&[256], 16), "tensor `x` has the type IQ2_XXS, which is not read here"),
        ("no type", one(&[256], 99), "has the unknown type 99"),
    ]);
}

fn push_text(content: &str) -> Vec<u8> {
    [b"X", &(content.len() as u32).to_le_bytes()[..], content.as_bytes()].concat()
}

fn legacy_tensor(offset: u8, size: &[u8], stride: &[u8]) -> Vec<u8> {
    let mut pickle = [b"}", &push_text("w")[..]].concat();
    pickle.extend(tensor_opcodes(offset, size, stride));
    pickle.push(b's');
    legacy(&pickle, ONE_STORAGE.0, ONE_STORAGE.1)
}

#[test]
fn a_pickle_made_by_hand_is_read_where_it_tells_the_truth() {
    let weights =
        danlu_formats::Weights::from_bytes("x", legacy_tensor(0, b"K\x02\x85", b"K\x01\x85"));
    assert_eq!(weights.unwrap().tensor("w").unwrap().to_f32().unwrap(), [1.0, 2.0]);
}

#[test]
fn a_pickle_can_call_nothing() {
    let pickle = |code: &[u8]| legacy(code, b"]", b"");
    let refused = |code: &[u8], expected: &str| {
        let message = message(pickle(code));
        assert!(message.contains(expected) && message.contains("state_dict()"), "{message}");
    };
    refused(
        b"cos\nsystem\nX\x02\0\0\0ls\x85R",
        "opcode GLOBAL at byte 2 of the pickle asks for `os.system`",
    );
    refused(b"cbuiltins\neval\n)R", "asks for `builtins.eval`");
    refused(b"\x8c\x05posix\x8c\x06system\x93", "opcode STACK_GLOBAL at byte 17");
    refused(b"ctorch.hub\nload\n)R", "asks for `torch.hub.load`");
    refused(b"ctorch\nTensor\n)\x81", "opcode NEWOBJ at byte 17");
    refused(b"(ios\nsystem\n", "opcode INST at byte 3");
    refused(b"(cos\nsystem\no", "asks for `os.system`");
    refused(b"\x82\x01", "opcode EXT1 at byte 2");
    refused(b"Pos.system\n", "opcode PERSID at byte 2");
    refused(b"ctorch\nTensor\n)R", "opcode REDUCE at byte 17 of the pickle calls TensorType");
    refused(b"ctorch._utils\n_rebuild_parameter\n(N\x89NtR", "opcode REDUCE");
    refused(b"NNb", "opcode BUILD at byte 4 of the pickle sets attributes");
    refused(b"NNa", "appends to what is no list");
    refused(b"]NNs", "sets items of what is no dictionary");
    refused(b"0", "opcode POP at byte 2 of the pickle takes from an empty stack");
    refused(b"(0", "takes from an empty stack");
    refused(b"u", "needs a mark, there is none");
    refused(b"h\x07", "recalls memo 7, which was never set");
    refused(b"c\xff\n\xff\n", "names what is not UTF-8");
    refused(b"N\xff", "opcode (none of pickle's) at byte 3");
}

#[test]
fn a_pickle_cannot_make_much_of_little() {
    let pickle = |code: &[u8]| legacy(code, b"]", b"");
    // Each list holds the one before twice: 2^60 items, were they ever walked.
    let mut laughs = b"]q\0".to_vec();
    for _ in 0..60 {
        laughs.extend(b"](h\0h\0eq\0");
    }
    let nested = [vec![b']'; 1000], vec![b'a'; 999]].concat();
    let deep = [vec![b']'; 40], vec![b'a'; 39]].concat();
    let myself = b"]q\0h\0a".to_vec();
    let many_lists = vec![b']'; 60_000];
    let wide = |count: usize| [vec![b'('; count], vec![b'N'; count]].concat();
    // A memo with a far number must not make a table of that length.
    let far_memo = b"Nr\xff\xff\xff\xff0]".to_vec();
    for (name, code, expected) in [
        ("laughs", laughs, "deep"),
        ("nested", nested, "allowed in memory"),
        ("deep", deep, "more than 32 deep"),
        ("itself", myself, "deep"),
        ("many lists", many_lists, "allowed in memory"),
        ("marks", wide(70_000), "sets more than 65536 marks"),
        ("stack", vec![b'N'; 70_000], "makes the stack deeper than 65536"),
    ] {
        let message = message(pickle(&code));
        assert!(message.contains(expected), "{name}: {message}");
    }
    assert_eq!(read_all(pickle(&far_memo)).unwrap(), 0);
}

#[test]
fn tensors_that_leave_their_storage_are_errors_that_name_them() {
    let dims = |bytes: &[u8]| [b"(", bytes, b"t"].concat();
    let far = b"J\xff\xff\xff\x7f".to_vec();
    let square = dims(&[&far[..], &far, &far].concat());
    let short = [&2_u64.to_le_bytes()[..], &[0; 7]].concat();
    let w = |offset, size: &[u8], stride: &[u8]| legacy_tensor(offset, size, stride);
    let pickle = w(0, b"K\x02\x85", b"K\x01\x85");
    let body = &pickle[..pickle.len() - ONE_STORAGE.1.len()];
    check(vec![
        ("too long", w(0, b"K\x03\x85", b"K\x01\x85"), "tensor `w` [3] with strides [1]"),
        ("too far", w(1, b"K\x02\x85", b"K\x01\x85"), "from element 1 is more than the 2 elements"),
        ("stride", w(0, b"K\x02\x85", b"K\x02\x85"), "tensor `w` [2] with strides [2]"),
        ("expanded", w(0, b"K\x63\x85", b"K\x00\x85"), "must be saved contiguous"),
        ("overflow", w(0, &square, &square), "tensor `w` cannot be"),
        ("rank", w(0, b"K\x02\x85", b")"), "builds a tensor of size [2] with strides []"),
        ("negative", w(0, b"J\xff\xff\xff\xff\x85", b"K\x01\x85"), "are no numbers"),
        ("no storage", legacy(&w(0, b")", b")")[34..60], b"]", b""), "opcode"),
        ("storage too short", [body, &short].concat(), "a storage's length at byte"),
        ("more bytes", [&pickle[..], &[0]].concat(), "1 bytes follow the last storage"),
        ("storage of nobody", legacy(b"}", ONE_STORAGE.0, ONE_STORAGE.1), "belongs to no tensor"),
    ]);
}

#[test]
fn archives_that_lie_are_errors() {
    let original = seed("views.pth");
    let patched = |signature: &[u8], offset: usize, bytes: &[u8]| {
        let mut archive = original.clone();
        let at = archive.windows(4).rposition(|window| window == signature).unwrap() + offset;
        archive[at..at + bytes.len()].copy_from_slice(bytes);
        archive
    };
    let (central, end) = (b"PK\x01\x02", b"PK\x05\x06");
    check(vec![
        ("compressed", patched(central, 10, &[8, 0]), "is compressed or encrypted"),
        ("encrypted", patched(central, 8, &[1, 0]), "is compressed or encrypted"),
        ("elsewhere", patched(central, 42, &[0; 4]), "is not at byte 0, where"),
        ("two sizes", patched(central, 20, &[1, 0, 0, 0]), "is stored in 1 bytes but has"),
        ("beyond", patched(central, 20, &[0xf0; 8]), "the file "),
        ("no 64-bit sizes", patched(central, 24, &[0xff; 4]), "64-bit"),
        ("entry count", patched(end, 10, &[0xff, 0x7f]), "claims 32767 entries"),
        ("directory", patched(end, 16, &[0; 4]), "byte 0 should begin an entry"),
        ("comment", patched(end, 20, &[1, 0]), "it is cut"),
    ]);
    let big = original.windows(6).position(|window| window == b"little").unwrap();
    let mut archive = original.clone();
    archive[big..big + 6].copy_from_slice(b"bigbig");
    check(vec![("byte order", archive, "its numbers are big-endian; save it again")]);
}

#[test]
fn a_gguf_with_a_text_longer_than_the_file_is_refused_before_it_is_read() {
    let mut key = text("k");
    key[..8].copy_from_slice(&u64::MAX.to_le_bytes());
    let mut file = HandMadeGguf { key_count: 1, keys: key, ..HandMadeGguf::new() };
    file.keys.extend([0; 32]);
    check(vec![("key", file.bytes(), "a metadata key at byte 24 is 18446744073709551615")]);
}
