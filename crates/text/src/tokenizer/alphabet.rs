//! GPT-2's way to write any byte as a printable character, as byte-level vocabularies spell their tokens.

use std::sync::LazyLock;

/// The character that stands for each byte.
pub(super) static CHAR_OF_BYTE: LazyLock<[char; 256]> = LazyLock::new(|| {
    let mut next = 256u32;
    std::array::from_fn(|byte| {
        let printable = matches!(byte, 0x21..=0x7E | 0xA1..=0xAC | 0xAE..=0xFF);
        let code = if printable {
            byte as u32
        } else {
            next += 1;
            next - 1
        };
        char::from_u32(code).unwrap_or('\0')
    })
});

/// The byte that each character below U+0144 stands for.
static BYTE_OF_CHAR: LazyLock<[Option<u8>; 0x144]> = LazyLock::new(|| {
    let mut table = [None; 0x144];
    for (byte, &char) in CHAR_OF_BYTE.iter().enumerate() {
        table[char as usize] = Some(byte as u8);
    }
    table
});

/// The bytes that a surface stands for; `None` if a character of it stands for no byte.
pub(super) fn bytes_of_surface(surface: &str, bytes: &mut Vec<u8>) -> Option<()> {
    bytes.clear();
    for char in surface.chars() {
        bytes.push((*BYTE_OF_CHAR.get(char as usize)?)?);
    }
    Some(())
}

/// The surface that stands for these bytes.
pub(super) fn surface_of_bytes(bytes: &[u8], surface: &mut String) {
    surface.clear();
    surface.extend(bytes.iter().map(|&byte| CHAR_OF_BYTE[usize::from(byte)]));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_byte_has_its_own_character_and_comes_back() {
        let all: Vec<u8> = (0..=255).collect();
        let (mut surface, mut back) = (String::new(), Vec::new());
        surface_of_bytes(&all, &mut surface);
        assert_eq!(surface.chars().count(), 256);
        bytes_of_surface(&surface, &mut back).unwrap();
        assert_eq!(back, all);
        assert!(surface.contains('Ġ') && surface.contains('Ċ'));
        assert_eq!(bytes_of_surface("▁", &mut back), None);
    }
}
