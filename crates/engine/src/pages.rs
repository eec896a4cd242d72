//! Which pages of the key/value cache are in use and by how many: allocate, share, free.

use tokenmill_kernels::kv_cache::PageId;

/// Reference counts of all pages. A page is free when nobody refers to it; the prefix cache counts as one holder.
pub(crate) struct Pages {
    free: Vec<PageId>,
    n_holders: Vec<u32>,
}

impl Pages {
    /// `n_pages` free pages; fits `PageId` because the cache was made with as many.
    pub(crate) fn new(n_pages: usize) -> Pages {
        let n_pages = PageId::try_from(n_pages).unwrap_or(PageId::MAX);
        // Taken from the end, so the low pages come first and lie side by side.
        Pages {
            free: (0..n_pages).rev().collect(),
            n_holders: vec![0; n_pages as usize],
        }
    }

    pub(crate) fn n_pages(&self) -> usize {
        self.n_holders.len()
    }

    pub(crate) fn n_free(&self) -> usize {
        self.free.len()
    }

    pub(crate) fn n_holders(&self, page: PageId) -> u32 {
        self.n_holders[page as usize]
    }

    /// A free page, now held once.
    pub(crate) fn allocate(&mut self) -> Option<PageId> {
        let page = self.free.pop()?;
        self.n_holders[page as usize] = 1;
        Some(page)
    }

    /// One more holder of a page that has some.
    pub(crate) fn hold(&mut self, page: PageId) {
        debug_assert!(
            self.n_holders(page) > 0,
            "page {page} is free and cannot be shared"
        );
        self.n_holders[page as usize] += 1;
    }

    /// One holder less; the last one frees the page. Returns how many are left.
    pub(crate) fn release(&mut self, page: PageId) -> u32 {
        debug_assert!(self.n_holders(page) > 0, "page {page} is already free");
        let n_holders = &mut self.n_holders[page as usize];
        *n_holders -= 1;
        if *n_holders == 0 {
            self.free.push(page);
        }
        *n_holders
    }

    /// Compares with `expected`, the holders as recounted from everyone who says to hold pages.
    pub(crate) fn check(&self, expected: &[u32]) -> Result<(), String> {
        let mut is_free = vec![false; self.n_pages()];
        for &page in &self.free {
            if std::mem::replace(&mut is_free[page as usize], true) {
                return Err(format!("page {page} is in the free list twice"));
            }
        }
        for (page, (&n_holders, &n_expected)) in self.n_holders.iter().zip(expected).enumerate() {
            if n_holders != n_expected {
                return Err(format!(
                    "page {page} counts {n_holders} holders, but {n_expected} hold it"
                ));
            }
            if is_free[page] != (n_holders == 0) {
                return Err(format!(
                    "page {page} has {n_holders} holders and is_free is {}",
                    is_free[page]
                ));
            }
        }
        Ok(())
    }
}
