//! Writing a model's tensors as a GGUF has them: one at a time, in the types of a mix.

use std::io::Write;

use danlu_formats::gguf::{Metadata, MixFacts, Writer};
use danlu_formats::{Dtype, ElementType, TensorEntry};
use danlu_kernels::Cpu;
use danlu_kernels::quant::BlockFormat;

use super::metadata::Constants;
use super::names::Fix;
use crate::quantize::encode;
use crate::{CausalLm, Error, ModelShape, Parameters, Result};

/// How much an error matters in each column of the parameter with this published name; `None` where
/// it is not known.
pub type Importance<'a> = dyn Fn(&str) -> Option<&'a [f32]> + 'a;

/// A tensor of the file.
struct Part {
    /// Its element type is that of the source.
    entry: TensorEntry,
    /// The parameters it is made of: one, or those of all experts.
    parameters: Vec<usize>,
    fix: Fix,
}

/// A model to be written as GGUF.
pub struct Export<'a> {
    parameters: &'a Parameters<'a>,
    shape: ModelShape,
    parts: Vec<Part>,
    constants: Constants,
}

impl<'a> Export<'a> {
    /// Lists the tensors of the file: `constants` first, then the parameters.
    ///
    /// # Errors
    /// When a parameter has no name in GGUF.
    pub fn new(
        model: &dyn CausalLm,
        parameters: &'a Parameters<'a>,
        constants: Constants,
    ) -> Result<Self> {
        let mut parts: Vec<Part> = Vec::new();
        for (index, spec) in parameters.specs().enumerate() {
            let place = model.family().gguf.place(&spec.name).ok_or_else(|| {
                Error::Input(format!("GGUF has no name for the parameter `{}`", spec.name))
            })?;
            let mut shape = spec.shape.dims().to_vec();
            if place.fix == Fix::Transposed {
                shape.reverse();
            }
            if place.expert.is_some() {
                if let Some(part) = parts.iter_mut().find(|part| part.entry.name == place.name) {
                    part.entry.shape[0] += 1;
                    part.parameters.push(index);
                    continue;
                }
                shape.insert(0, 1);
            }
            let element = parameters.element(index);
            let entry = TensorEntry { name: place.name, element, shape };
            parts.push(Part { entry, parameters: vec![index], fix: place.fix });
        }
        Ok(Self { parameters, shape: *model.shape(), parts, constants })
    }

    /// The tensors made of parameters, with the types they have in the source.
    #[must_use]
    pub fn entries(&self) -> Vec<TensorEntry> {
        self.parts.iter().map(|part| part.entry.clone()).collect()
    }

    /// What the mixes ask about the model.
    #[must_use]
    pub fn facts(&self, has_importance: bool) -> MixFacts {
        let experts = self.parts.iter().map(|part| part.parameters.len()).max().unwrap_or(1);
        MixFacts {
            num_layers: self.shape.num_layers,
            heads_per_kv_head: self.shape.num_heads / self.shape.num_kv_heads,
            num_experts: if experts > 1 { experts } else { 0 },
            has_importance,
        }
    }

    /// Writes the file: `formats` has a type for each of [`Export::entries`]. `watch` is told after
    /// each tensor how many of how many numbers are written.
    ///
    /// # Errors
    /// When a number cannot be read or written, or `watch` fails, which ends the work.
    pub fn write<W: Write>(
        &self,
        cpu: &Cpu,
        out: W,
        (metadata, formats): (&Metadata, &[BlockFormat]),
        importance: &Importance<'_>,
        watch: &mut dyn FnMut(usize, usize) -> Result<()>,
    ) -> Result<W> {
        assert_eq!(formats.len(), self.parts.len(), "a type for each tensor");
        let constant = |(name, values): &(String, Vec<f32>)| {
            let (name, shape) = (name.clone(), vec![values.len()]);
            TensorEntry { name, element: Dtype::F32.into(), shape }
        };
        let typed = self.parts.iter().zip(formats).map(|(part, &format)| {
            let element = ElementType::from(format);
            TensorEntry { element, ..part.entry.clone() }
        });
        let entries = self.constants.iter().map(constant).chain(typed).collect();
        let mut writer = Writer::new(out, metadata, entries)?;
        for (name, values) in &self.constants {
            let bytes: Vec<u8> = values.iter().flat_map(|value| value.to_le_bytes()).collect();
            writer.write(name, &bytes)?;
        }
        let total = self.parts.iter().map(|part| part.entry.shape.iter().product::<usize>()).sum();
        let mut done = 0;
        for (part, &format) in self.parts.iter().zip(formats) {
            let name = &part.entry.name;
            for &index in &part.parameters {
                let (values, cols) = self.arranged(index, part.fix)?;
                let weights =
                    self.parameters.specs().nth(index).and_then(|it| importance(&it.name));
                let rows = (&values[..], cols);
                let bytes = encode(cpu, format, rows, weights).map_err(|problem| {
                    Error::Weights { file: "the source".to_owned(), tensor: name.clone(), problem }
                })?;
                writer.write(name, &bytes)?;
                done += values.len();
                watch(done, total)?;
            }
        }
        Ok(writer.finish()?)
    }

    /// A parameter's numbers in the order of the file, with the length of a row.
    fn arranged(&self, index: usize, fix: Fix) -> Result<(Vec<f32>, usize)> {
        let mut values = self.parameters.read(index)?;
        let dims = self.parameters.specs().nth(index).map(|spec| spec.shape.dims().to_vec());
        let (rows, cols) = match dims.as_deref() {
            Some([rows, cols]) => (*rows, *cols),
            _ => (values.len(), 1),
        };
        let is_matrix = dims.is_some_and(|dims| dims.len() == 2);
        match fix {
            Fix::Same => {}
            Fix::WholeGain => values.iter_mut().for_each(|gain| *gain += 1.0),
            Fix::Transposed if is_matrix => {
                let columns = (0..cols).flat_map(|col| (0..rows).map(move |row| (row, col)));
                let turned = columns.map(|(row, col)| values[row * cols + col]).collect();
                return Ok((turned, rows));
            }
            Fix::Transposed => {}
            Fix::Queries | Fix::Keys | Fix::Parts => {
                let published = values.clone();
                for (row, from) in published.chunks_exact(cols).enumerate() {
                    let to = fix.source_row(row, &self.shape);
                    values[to * cols..(to + 1) * cols].copy_from_slice(from);
                }
            }
        }
        let row_len = if is_matrix { cols } else { values.len() };
        Ok((values, row_len))
    }
}
