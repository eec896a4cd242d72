//! Memory for weights: large, aligned, in huge pages where the system has them.

use memmap2::MmapMut;

/// Huge pages on all CPUs that we know are of this size or more.
const HUGE_PAGE: usize = 2 << 20;

/// Bytes that begin at a multiple of 64 and, where large, of 2 MiB; zero at first.
///
/// The system gives the memory page by page as it is first written.
#[derive(Debug)]
pub(crate) struct Arena {
    map: MmapMut,
    start: usize,
    len: usize,
}

impl Arena {
    /// # Errors
    /// The system has no room for as many bytes.
    pub(crate) fn new(len: usize) -> std::io::Result<Arena> {
        if len < HUGE_PAGE {
            // A mapping begins at a page; one of no bytes is not possible.
            return Ok(Arena {
                map: MmapMut::map_anon(len.max(1))?,
                start: 0,
                len,
            });
        }
        // Larger by what aligning may take off; memory that is never written costs nothing.
        let room = len
            .checked_add(HUGE_PAGE)
            .ok_or(std::io::ErrorKind::OutOfMemory)?;
        let map = MmapMut::map_anon(room)?;
        let start = map.as_ptr().align_offset(HUGE_PAGE);
        let arena = Arena { map, start, len };
        arena.ask_for_huge_pages();
        Ok(arena)
    }

    /// Streams from pages of 4 KiB are up to a quarter slower. The end that fills no huge page, and the room for
    /// aligning, stay in small ones: a huge page there would be memory for nothing.
    #[cfg(target_os = "linux")]
    fn ask_for_huge_pages(&self) {
        use memmap2::Advice;
        let whole = self.len / HUGE_PAGE * HUGE_PAGE;
        let end = self.start + whole;
        // Only hints: without them the kernels are slower or the process a little larger.
        let _ = self.map.advise_range(Advice::HugePage, self.start, whole);
        let _ = self
            .map
            .advise_range(Advice::NoHugePage, end, self.map.len() - end);
        if self.start > 0 {
            let _ = self.map.advise_range(Advice::NoHugePage, 0, self.start);
        }
    }

    #[cfg(not(target_os = "linux"))]
    fn ask_for_huge_pages(&self) {}

    pub(crate) fn bytes(&self) -> &[u8] {
        &self.map[self.start..][..self.len]
    }

    pub(crate) fn bytes_mut(&mut self) -> &mut [u8] {
        &mut self.map[self.start..][..self.len]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_is_aligned_zero_and_of_the_length_asked_for() {
        for len in [0, 1, 64, HUGE_PAGE - 1, HUGE_PAGE, 3 * HUGE_PAGE + 5] {
            let mut arena = Arena::new(len).unwrap();
            assert_eq!(arena.bytes().len(), len);
            assert!(arena.bytes().as_ptr().addr().is_multiple_of(if len < HUGE_PAGE {
                64
            } else {
                HUGE_PAGE
            }));
            assert!(arena.bytes().iter().all(|&byte| byte == 0));
            arena.bytes_mut().fill(1);
        }
        assert!(Arena::new(usize::MAX).is_err());
    }
}
