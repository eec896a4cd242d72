//! What one token reads and multiplies of a model's weights, from the names and shapes of its tensors.

/// Names of the matrix of which each token looks up one row, and which gives the logits too where there is no other.
const EMBEDDINGS: [&str; 2] = ["token_embd.weight", "model.embed_tokens.weight"];
/// Names of the matrix that gives the logits.
const HEADS: [&str; 2] = ["output.weight", "lm_head.weight"];

/// Weights that take part in each token.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct WeightReads {
    /// Numbers in the matrices of the layers.
    pub(super) body_params: u64,
    pub(super) body_bytes: u64,
    /// The same of the matrix that gives the logits, which only rows that are sampled need.
    pub(super) head_params: u64,
    pub(super) head_bytes: u64,
}

impl WeightReads {
    /// From names, shapes and bytes. `None` where a token uses only a part that the tensors do not tell, as of experts.
    pub(super) fn from_tensors(
        tensors: impl Iterator<Item = (String, Vec<u64>, u64)>,
    ) -> Option<WeightReads> {
        let mut reads = WeightReads::default();
        let mut embedding = (0, 0);
        for (name, shape, n_bytes) in tensors {
            let n_params = shape.iter().product::<u64>();
            if shape.len() > 2 || name.contains("experts") {
                return None;
            }
            if EMBEDDINGS.contains(&name.as_str()) {
                embedding = (n_params, n_bytes);
            } else if HEADS.contains(&name.as_str()) {
                (reads.head_params, reads.head_bytes) = (n_params, n_bytes);
            } else if shape.len() == 2 {
                reads.body_params += n_params;
                reads.body_bytes += n_bytes;
            }
        }
        if reads.head_params == 0 {
            (reads.head_params, reads.head_bytes) = embedding;
        }
        Some(reads)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tensor(name: &str, shape: &[u64]) -> (String, Vec<u64>, u64) {
        (name.to_owned(), shape.to_vec(), shape.iter().product::<u64>() * 2)
    }

    #[test]
    fn a_tied_embedding_is_read_as_the_head_and_an_untied_one_is_not() {
        let layer = tensor("blk.0.attn_q.weight", &[8, 4]);
        let norm = tensor("blk.0.attn_norm.weight", &[8]);
        let embedding = tensor("token_embd.weight", &[100, 8]);
        let head = tensor("output.weight", &[90, 8]);
        let tied = [layer.clone(), norm.clone(), embedding.clone()];
        let expected = WeightReads {
            body_params: 32,
            body_bytes: 64,
            head_params: 800,
            head_bytes: 1600,
        };
        assert_eq!(WeightReads::from_tensors(tied.into_iter()), Some(expected));
        let untied = WeightReads::from_tensors([layer, norm, embedding, head].into_iter());
        assert_eq!(untied.map(|reads| reads.head_params), Some(720));
    }

    #[test]
    fn of_experts_nothing_is_said() {
        let experts = tensor("blk.0.ffn_up_exps.weight", &[4, 8, 8]);
        assert_eq!(WeightReads::from_tensors([experts].into_iter()), None);
    }
}
