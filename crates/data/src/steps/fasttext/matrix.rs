//! Matrices of models: rows of f32, those of quantised ones made whole when they are read.

/// Rows of numbers.
pub(super) struct Matrix {
    columns: usize,
    values: Vec<f32>,
}

impl Matrix {
    /// `values` row by row.
    pub(super) fn new(columns: usize, values: Vec<f32>) -> Self {
        assert!(columns > 0 && values.len().is_multiple_of(columns), "{columns} columns");
        Self { columns, values }
    }

    pub(super) fn columns(&self) -> usize {
        self.columns
    }

    pub(super) fn rows(&self) -> usize {
        self.values.len() / self.columns
    }

    pub(super) fn row(&self, row: usize) -> &[f32] {
        &self.values[row * self.columns..(row + 1) * self.columns]
    }

    pub(super) fn row_mut(&mut self, row: usize) -> &mut [f32] {
        &mut self.values[row * self.columns..(row + 1) * self.columns]
    }

    /// The product of a row and a vector, added in order.
    pub(super) fn dot(&self, row: usize, vector: &[f32]) -> f32 {
        self.row(row).iter().zip(vector).fold(0.0, |sum, (left, right)| sum + left * right)
    }
}

/// A product quantiser (Jegou 2011): each stretch of `part` columns is one of 256 centroids.
pub(super) struct Quantiser {
    columns: usize,
    part: usize,
    centroids: Vec<f32>,
}

/// Centroids of a stretch.
pub(super) const CENTROIDS: usize = 256;

impl Quantiser {
    /// `centroids` stretch by stretch; the last stretch may be shorter.
    pub(super) fn new(columns: usize, part: usize, centroids: Vec<f32>) -> Self {
        assert_eq!(centroids.len(), columns * CENTROIDS, "{columns} columns");
        Self { columns, part, centroids }
    }

    /// Codes of a row.
    pub(super) fn codes(&self) -> usize {
        self.columns.div_ceil(self.part)
    }

    /// Adds the row with these codes, times `norm`, to `out`.
    pub(super) fn decode(&self, codes: &[u8], norm: f32, out: &mut Vec<f32>) {
        for (index, &code) in codes.iter().enumerate() {
            let first = index * self.part;
            let size = self.part.min(self.columns - first);
            let start = first * CENTROIDS + usize::from(code) * size;
            out.extend(self.centroids[start..start + size].iter().map(|value| norm * value));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_stretch_of_a_quantised_row_may_be_shorter() {
        let centroids: Vec<f32> = (0..3 * CENTROIDS).map(|number| number as f32).collect();
        let quantiser = Quantiser::new(3, 2, centroids);
        assert_eq!(quantiser.codes(), 2);
        let mut row = Vec::new();
        quantiser.decode(&[3, 255], 2.0, &mut row);
        // The second stretch begins after 256 pairs and has one column.
        assert_eq!(row, [12.0, 14.0, 2.0 * (512.0 + 255.0)]);
    }
}
