//! A neural embedder: a sentence model of BERT's kind, from a file in ONNX form.

use std::{fmt, path::Path, sync::Arc, thread};

use openclaw_core::{
    Error, ErrorKind, ModelId, ProviderId, Result, async_trait,
    provider::{CallContext, Embedder, Embedding},
    time::Cancel,
};
use rten::{Model, ModelOptions, NodeId, RunOptions, ThreadPool, Value, ValueOrView};
use rten_tensor::{AsView as _, Layout as _, NdTensor};
use sha2::{Digest as _, Sha256};

use super::{
    static_model::Coverage,
    wordpiece::{Vocabulary, words},
};

/// How many tokens of a text count: all-MiniLM-L6-v2 was made for no more.
const MAX_TOKENS: usize = 256;

/// An embedder that runs a sentence model of BERT's kind: uncased word pieces in, the mean of the
/// last layer out, of length one. Some ten milliseconds a text and core.
///
/// `scripts/embedding-model` fetches all-MiniLM-L6-v2 in eight bits and prints the folder to give to
/// [`open`](Self::open). Each text is a run of its own, so a vector does not depend on its batch; a
/// batch uses all cores. Dropping [`embed`](Embedder::embed) lets the texts that are being embedded
/// finish in the background; cancelling its context ends it after them.
#[derive(Clone)]
pub struct OnnxEmbedder(Arc<Inner>);

struct Inner {
    id: ProviderId,
    name: ModelId,
    dimensions: usize,
    network: Network,
    vocabulary: Vocabulary,
    special: Special,
    /// All cores for a text alone.
    wide: Arc<ThreadPool>,
    /// One core each, for texts that come together: less is lost in waiting for one another.
    narrow: Vec<Arc<ThreadPool>>,
}

struct Network {
    model: Model,
    inputs: [NodeId; 3],
    output: NodeId,
}

struct Special {
    begin: u32,
    end: u32,
    unknown: u32,
}

impl OnnxEmbedder {
    /// The model in `folder`: `model.onnx`, and `vocab.txt` with a word piece a line.
    ///
    /// Reads the whole file and runs the model once, which blocks for some tenths of a second.
    ///
    /// # Errors
    /// [`ErrorKind::NotFound`] if a file is missing, [`ErrorKind::InvalidData`] if it is no such
    /// model; the message says which and what was expected.
    pub fn open(folder: impl AsRef<Path>) -> Result<Self> {
        let read = |name: &str| {
            let path = folder.as_ref().join(name);
            std::fs::read(&path).map_err(|error| {
                let what = format!(
                    "cannot read {}: {error}; `scripts/embedding-model` makes such a folder",
                    path.display()
                );
                Error::new(ErrorKind::NotFound, what)
            })
        };
        let vocabulary = String::from_utf8(read("vocab.txt")?)
            .ok()
            .and_then(Vocabulary::new)
            .ok_or_else(|| invalid("vocab.txt is not text with a word piece a line"))?;
        let special = |piece| {
            let missing = || invalid(format!("vocab.txt has no {piece}: no vocabulary of BERT's"));
            vocabulary.find(piece).ok_or_else(missing)
        };
        let special = Special {
            begin: special("[CLS]")?,
            end: special("[SEP]")?,
            unknown: special("[UNK]")?,
        };
        let file = read("model.onnx")?;
        // Every writer begins with the version of the format, field 1. What begins otherwise can keep
        // the parser busy for ever.
        if file.first() != Some(&0x08) {
            return Err(invalid("model.onnx is no ONNX model"));
        }
        let digest: String = Sha256::digest(&file).iter().map(|b| format!("{b:02x}")).collect();
        let network = Network::load(file)?;
        let cores = thread::available_parallelism().map_or(1, usize::from);
        let wide = Arc::new(ThreadPool::with_num_threads(cores));
        let narrow = (0..cores).map(|_| Arc::new(ThreadPool::with_num_threads(1))).collect();
        let dimensions = network.run(&[special.begin, special.end], &wide)?.len();
        Ok(Self(Arc::new(Inner {
            id: ProviderId::new("onnx"),
            name: ModelId::new(format!("onnx-{dimensions}-{}", digest.get(..8).unwrap_or(&digest))),
            dimensions,
            network,
            vocabulary,
            special,
            wide,
            narrow,
        })))
    }
}

#[async_trait]
impl Embedder for OnnxEmbedder {
    fn id(&self) -> &ProviderId {
        &self.0.id
    }

    fn model(&self) -> &ModelId {
        &self.0.name
    }

    fn dimensions(&self) -> usize {
        self.0.dimensions
    }

    fn coverage(&self, text: &str) -> f32 {
        self.0.tokens(text).1
    }

    async fn embed(&self, cx: &CallContext, texts: &[&str]) -> Result<Vec<Embedding>> {
        if texts.is_empty() {
            return Ok(Vec::new());
        }
        let texts: Vec<Vec<u32>> = texts.iter().map(|text| self.0.tokens(text).0).collect();
        let (inner, cancel) = (Arc::clone(&self.0), cx.cancel.clone());
        tokio::task::spawn_blocking(move || inner.all(&texts, &cancel))
            .await
            .map_err(|error| Error::wrap(ErrorKind::Internal, error))?
    }
}

impl Inner {
    /// The tokens of `text` with the special ones, and how much of it is known.
    fn tokens(&self, text: &str) -> (Vec<u32>, f32) {
        let mut tokens = vec![self.special.begin];
        let mut coverage = Coverage::default();
        words(text, |word| {
            let before = tokens.len();
            if self.vocabulary.split(word, &mut tokens) {
                coverage.word(word, tokens.len() - before);
            } else {
                tokens.push(self.special.unknown);
                coverage.word(word, 0);
            }
            if tokens.len() < MAX_TOKENS {
                std::ops::ControlFlow::Continue(())
            } else {
                std::ops::ControlFlow::Break(())
            }
        });
        tokens.truncate(MAX_TOKENS - 1);
        tokens.push(self.special.end);
        (tokens, coverage.share())
    }

    fn all(&self, texts: &[Vec<u32>], cancel: &Cancel) -> Result<Vec<Embedding>> {
        let one = |tokens: &Vec<u32>, pool: &Arc<ThreadPool>| {
            if cancel.is_cancelled() {
                return Err(Error::new(ErrorKind::Cancelled, "embedding was cancelled"));
            }
            self.network.run(tokens, pool)
        };
        if let [text] = texts {
            return Ok(vec![one(text, &self.wide)?]);
        }
        // Every core takes each so manieth text, so that long and short ones are spread.
        let cores = self.narrow.len().max(1);
        let shares = thread::scope(|scope| {
            let workers = self.narrow.iter().enumerate().map(|(core, pool)| {
                let mine = texts.iter().skip(core).step_by(cores);
                scope.spawn(move || mine.map(|text| one(text, pool)).collect::<Result<Vec<_>>>())
            });
            let workers: Vec<_> = workers.collect();
            let ends = workers.into_iter().map(|worker| {
                worker.join().map_err(|_| Error::internal("a thread of the embedder panicked"))?
            });
            ends.collect::<Result<Vec<_>>>()
        })?;
        let mut shares: Vec<_> = shares.into_iter().map(Vec::into_iter).collect();
        let turns = (0..texts.len()).map(|place| shares.get_mut(place % cores)?.next());
        turns.collect::<Option<_>>().ok_or_else(|| Error::internal("a text has no vector"))
    }
}

impl Network {
    fn load(file: Vec<u8>) -> Result<Self> {
        // Packed once here instead of at each run: it takes as much memory again as the weights.
        let model =
            ModelOptions::with_all_ops().prepack_weights(true).load(file).map_err(|error| {
                invalid(format!("model.onnx is no model in ONNX form that can be run: {error}"))
            })?;
        let input = |name| {
            let missing = || invalid(format!("model.onnx has no input {name:?}, as BERT's have"));
            model.find_node(name).ok_or_else(missing)
        };
        let inputs = [input("input_ids")?, input("attention_mask")?, input("token_type_ids")?];
        let output = *model
            .output_ids()
            .first()
            .ok_or_else(|| invalid("model.onnx has no output, a vector a token was expected"))?;
        Ok(Self { model, inputs, output })
    }

    fn run(&self, tokens: &[u32], pool: &Arc<ThreadPool>) -> Result<Embedding> {
        let [ids, mask, types] = self.inputs;
        let row = |value: &dyn Fn(u32) -> i32| -> ValueOrView<'static> {
            let values = tokens.iter().map(|token| value(*token)).collect::<Vec<_>>();
            NdTensor::from_data([1, tokens.len()], values).into()
        };
        let inputs = vec![
            (ids, row(&|token| i32::try_from(token).unwrap_or_default())),
            (mask, row(&|_| 1)),
            (types, row(&|_| 0)),
        ];
        let options = RunOptions::default().with_thread_pool(Some(Arc::clone(pool)));
        let failed =
            |error: String| Error::new(ErrorKind::InvalidData, format!("model.onnx: {error}"));
        let outputs = self
            .model
            .run(inputs, &[self.output], Some(options))
            .map_err(|error| failed(error.to_string()))?;
        let layer: Value =
            outputs.into_iter().next().ok_or_else(|| failed("it gave no output".to_owned()))?;
        let layer: NdTensor<f32, 3> = layer.try_into().map_err(|_| {
            failed("its first output is no vector a token, as BERT's last layer is".to_owned())
        })?;
        let [_, rows, width] = layer.shape();
        if rows == 0 || width == 0 {
            return Err(failed("its output is empty".to_owned()));
        }
        let mut sum = vec![0.0_f32; width];
        for (place, value) in layer.iter().enumerate() {
            if let Some(sum) = sum.get_mut(place % width) {
                *sum += value;
            }
        }
        let length = sum.iter().map(|value| value * value).sum::<f32>().sqrt();
        if !(length.is_finite() && length > 0.0) {
            return Err(failed("its output has no direction".to_owned()));
        }
        sum.iter_mut().for_each(|value| *value /= length);
        Ok(sum)
    }
}

impl fmt::Debug for OnnxEmbedder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("OnnxEmbedder").field(&self.0.name).finish()
    }
}

fn invalid(message: impl Into<std::borrow::Cow<'static, str>>) -> Error {
    Error::new(ErrorKind::InvalidData, message)
}
