//! Writing safetensors files for tests.

use serde_json::{Map, Value, json};

/// Builds a safetensors file in memory. Checks nothing, so that tests can write faulty files.
#[derive(Clone, Debug, Default)]
pub struct SafetensorsWriter {
    header: Map<String, Value>,
    data: Vec<u8>,
}

impl SafetensorsWriter {
    /// An empty file.
    pub fn new() -> SafetensorsWriter {
        SafetensorsWriter::default()
    }

    /// A tensor; `dtype` as in the format, such as `F32`; `shape` slowest dimension first.
    #[must_use]
    pub fn tensor(mut self, name: &str, dtype: &str, shape: &[u64], data: &[u8]) -> SafetensorsWriter {
        let begin = self.data.len();
        self.data.extend_from_slice(data);
        let entry = json!({"dtype": dtype, "shape": shape, "data_offsets": [begin, self.data.len()]});
        self.header.insert(name.to_owned(), entry);
        self
    }

    /// Replaces a tensor's entry in the header.
    #[must_use]
    pub fn entry(mut self, name: &str, entry: Value) -> SafetensorsWriter {
        self.header.insert(name.to_owned(), entry);
        self
    }

    /// The file.
    pub fn bytes(&self) -> Vec<u8> {
        let header = Value::Object(self.header.clone()).to_string();
        let mut file = (header.len() as u64).to_le_bytes().to_vec();
        file.extend_from_slice(header.as_bytes());
        file.extend_from_slice(&self.data);
        file
    }
}
