//! From numbers to colours that people with any colour vision tell apart: light to dark, yellow to blue.

use std::ops::Range;

use plotters::style::RGBColor;

/// ColorBrewer's YlGnBu, whose lightness falls evenly.
const STOPS: [(u8, u8, u8); 9] = [
    (255, 255, 217),
    (237, 248, 177),
    (199, 233, 180),
    (127, 205, 187),
    (65, 182, 196),
    (29, 145, 192),
    (34, 94, 168),
    (37, 52, 148),
    (8, 29, 88),
];
/// Shades that are told apart: with few, neighbours become one rectangle and the drawing stays small.
const SHADES: f32 = 32.0;
/// Share of the numbers beyond each end of a scale, so that single ones do not flatten the others.
const BEYOND: f32 = 0.02;

/// Which number gets the lightest and which the darkest colour.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Scale {
    pub least: f32,
    pub most: f32,
}

impl Scale {
    /// The scale that shows these numbers best.
    pub fn over(numbers: impl Iterator<Item = f32>) -> Self {
        let mut numbers: Vec<f32> = numbers.collect();
        numbers.sort_unstable_by(f32::total_cmp);
        let at = |share: f32| {
            let last = numbers.len().saturating_sub(1) as f32;
            numbers.get((share * last).round() as usize).copied()
        };
        Self {
            least: at(BEYOND).unwrap_or(0.0),
            most: at(1.0 - BEYOND).unwrap_or(1.0),
        }
    }

    /// The colour of a number; beyond the ends it is theirs.
    pub fn colour(&self, number: f32) -> RGBColor {
        let range = (self.most - self.least).max(f32::MIN_POSITIVE);
        let share = ((number - self.least) / range).clamp(0.0, 1.0);
        let place = (share * SHADES).round() / SHADES * (STOPS.len() - 1) as f32;
        let below = (place as usize).min(STOPS.len() - 2);
        let (from, to) = (STOPS[below], STOPS[below + 1]);
        let mix = |from: u8, to: u8| {
            let (from, to) = (f32::from(from), f32::from(to));
            (from + (place - below as f32) * (to - from)).round() as u8
        };
        RGBColor(mix(from.0, to.0), mix(from.1, to.1), mix(from.2, to.2))
    }
}

/// The means of pieces of a length over equal columns; nothing where no piece lies.
pub fn spread(
    pieces: impl Iterator<Item = (Range<f32>, f32)>,
    length: f32,
    n_columns: usize,
) -> Vec<Option<f32>> {
    let width = length / n_columns as f32;
    let mut sums = vec![(0.0, 0.0); n_columns];
    for (piece, value) in pieces {
        let first = (piece.start / width) as usize;
        for (column, (sum, share)) in sums.iter_mut().enumerate().skip(first) {
            let own = column as f32 * width..(column + 1) as f32 * width;
            let common = own.end.min(piece.end) - own.start.max(piece.start);
            if own.start >= piece.end {
                break;
            }
            *sum += common.max(0.0) * value;
            *share += common.max(0.0);
        }
    }
    sums.into_iter()
        .map(|(sum, share)| (share > 0.0).then(|| sum / share))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn colours_run_from_light_to_dark() {
        let scale = Scale {
            least: 1.0,
            most: 3.0,
        };
        let light = |number: f32| {
            let RGBColor(red, green, blue) = scale.colour(number);
            0.2126 * f32::from(red) + 0.7152 * f32::from(green) + 0.0722 * f32::from(blue)
        };
        let lights: Vec<f32> = (0..=40).map(|at| light(0.5 + at as f32 / 10.0)).collect();
        assert!(lights.windows(2).all(|pair| pair[0] >= pair[1]));
        assert_eq!(scale.colour(0.0), scale.colour(1.0));
        assert_eq!(scale.colour(9.0), scale.colour(3.0));
    }

    #[test]
    fn pieces_are_spread_by_their_length() {
        let pieces = [(0.0..3.0, 1.0), (3.0..4.0, 5.0)];
        let columns = spread(pieces.into_iter(), 8.0, 4);
        assert_eq!(columns, [Some(1.0), Some(3.0), None, None]);
    }
}
