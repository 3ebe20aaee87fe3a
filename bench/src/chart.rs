//! A chart of the processor time per unit, as part of the peer's.

use std::fmt::Write as _;

use crate::measure::{Outcome, Round};
use crate::report::{CPU_RATIO_MAX, median};

const ROW: usize = 22;
const LEFT: f64 = 210.0;
const WIDTH: f64 = 420.0;
const HEAD: usize = 46;

/// An SVG with a bar for each case whose processor time was measured. Colours follow the reader's setting for light or
/// dark.
pub(crate) fn svg(outcomes: &[Outcome], peer: &str) -> String {
    // Those in big directories are compared with empty ones, and are too many.
    let shown = outcomes.iter().filter(|outcome| !outcome.name.starts_with("big-directory-"));
    let bars: Vec<(&str, f64)> = shown
        .filter_map(|outcome| {
            Some((outcome.name, median(outcome.rounds.iter().filter_map(Round::cpu_ratio))?))
        })
        .collect();
    let height = HEAD + bars.len() * ROW + 12;
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 720 {height}\" role=\"img\" \
         aria-label=\"Processor time per unit as part of {peer}'s\">\n\
         <style>text{{font:13px sans-serif;fill:#222}}.bar{{fill:#2a6db0}}.line{{stroke:#888;stroke-dasharray:4 3}}\
         @media(prefers-color-scheme:dark){{text{{fill:#ddd}}.bar{{fill:#6aa9e9}}}}</style>\n\
         <text x=\"10\" y=\"18\">Server CPU per unit, as part of {peer}'s: shorter is better</text>\n"
    );
    for (part, label) in [(CPU_RATIO_MAX, "goal"), (1.0, peer)] {
        let x = LEFT + part * WIDTH;
        let bottom = height - 8;
        writeln!(
            svg,
            "<text x=\"{x:.0}\" y=\"36\" text-anchor=\"middle\">{label}</text>\
             <line class=\"line\" x1=\"{x:.0}\" x2=\"{x:.0}\" y1=\"40\" y2=\"{bottom}\"/>"
        )
        .ok();
    }
    for (index, (name, ratio)) in bars.iter().enumerate() {
        let (top, length) = (HEAD + index * ROW, ratio.min(1.15) * WIDTH);
        let base = top + 13;
        let end = LEFT + length + 5.0;
        writeln!(
            svg,
            "<text x=\"{:.0}\" y=\"{base}\" text-anchor=\"end\">{name}</text>\
             <rect class=\"bar\" x=\"{LEFT:.0}\" y=\"{}\" width=\"{length:.1}\" height=\"14\"/>\
             <text x=\"{end:.0}\" y=\"{base}\">{ratio:.2}</text>",
            LEFT - 8.0,
            top + 2,
        )
        .ok();
    }
    svg.push_str("</svg>\n");
    svg
}
