//! Recounting: whether the books of pages, places and queue agree with each other.

use super::Stepper;

impl Stepper {
    /// Recounts who holds which page and compares with all books; checks places, order and lengths.
    ///
    /// # Errors
    /// The first thing that does not add up.
    pub fn check_integrity(&self) -> Result<(), String> {
        let mut n_held = vec![0; self.prefix.n_pages()];
        for sequence in &self.running {
            for &page in &sequence.pages {
                n_held[page as usize] += 1;
            }
            sequence.check()?;
        }
        if let Some(sequence) = self
            .waiting
            .iter()
            .find(|sequence| sequence.n_computed + sequence.pages.len() > 0)
        {
            return Err(format!("sequence {} waits, yet holds pages", sequence.id));
        }
        if self.running.len() > self.limits.max_running {
            return Err(format!(
                "{} sequences run, more than {}",
                self.running.len(),
                self.limits.max_running
            ));
        }
        let by_age = self.running.is_sorted_by_key(|sequence| sequence.id)
            && self.waiting.iter().is_sorted_by_key(|sequence| sequence.id);
        if !by_age {
            return Err("running or waiting sequences are not in the order of their age".to_owned());
        }
        let present = self.running.iter().chain(&self.waiting);
        if let Some(model) = &self.draft_model {
            model.check(|id| self.running.iter().any(|sequence| sequence.id == id))?;
        }
        self.served.check(present.map(|sequence| &sequence.tenant))?;
        self.prefix.check(&n_held)
    }
}
