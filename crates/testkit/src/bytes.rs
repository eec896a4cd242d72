//! Numbers and texts as model files have them.

pub(crate) fn n32(file: &mut Vec<u8>, number: u32) {
    file.extend_from_slice(&number.to_le_bytes());
}

pub(crate) fn n64(file: &mut Vec<u8>, number: u64) {
    file.extend_from_slice(&number.to_le_bytes());
}

pub(crate) fn text(file: &mut Vec<u8>, text: &str) {
    n64(file, text.len() as u64);
    file.extend_from_slice(text.as_bytes());
}
