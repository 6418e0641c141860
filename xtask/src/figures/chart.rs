//! Charts with two logarithmic axes: a line of slope one is a cost that follows what it is drawn against. Nothing here knows
//! what is measured.

use std::error::Error;
use std::ops::Range;

use plotters::prelude::*;

const SIZE: (u32, u32) = (760, 480);

/// Colours that people with colour blindness can tell apart (Okabe and Ito 2008).
pub(super) const VERMILION: RGBColor = RGBColor(213, 94, 0);
/// Another of them.
pub(super) const BLUE: RGBColor = RGBColor(0, 114, 178);
/// Another of them.
pub(super) const GREEN: RGBColor = RGBColor(0, 158, 115);
/// For what is not measured.
pub(super) const GREY: RGBColor = RGBColor(153, 153, 153);

/// What is drawn.
#[derive(Debug)]
pub(super) struct Chart {
    /// What stands above.
    pub(super) caption: &'static str,
    /// What the points lie along.
    pub(super) x: Axis,
    /// How high they lie.
    pub(super) y: Axis,
    /// In the order of the legend.
    pub(super) lines: Vec<Line>,
}

/// An axis.
#[derive(Debug)]
pub(super) struct Axis {
    /// What it counts, and in what unit.
    pub(super) name: &'static str,
    /// Where it begins and ends, above zero.
    pub(super) range: Range<f64>,
    /// What has a number beside it.
    pub(super) ticks: Vec<f64>,
}

/// A line.
#[derive(Debug)]
pub(super) struct Line {
    /// Its name in the legend.
    pub(super) name: &'static str,
    /// Its colour.
    pub(super) colour: RGBColor,
    /// Where it leads, x and y.
    pub(super) points: Vec<(f64, f64)>,
}

impl Axis {
    /// An axis with some room around all of `values`, and round numbers beside it.
    pub(super) fn around(name: &'static str, values: impl Iterator<Item = f64>) -> Self {
        let (least, most) =
            values.fold((f64::INFINITY, 0.0), |(least, most), value| (value.min(least), value.max(most)));
        let range = least / 2.0..most * 2.0;
        let decades = range.start.log10().floor() as i32..=range.end.log10().ceil() as i32;
        // Few decades have room for more numbers.
        let steps: &[f64] = if most / least < 100.0 { &[1.0, 2.0, 5.0] } else { &[1.0] };
        let ticks = decades.flat_map(|decade| steps.iter().map(move |step| step * 10_f64.powi(decade)));
        let ticks = ticks.filter(|tick| range.contains(tick)).collect();
        Self { name, range, ticks }
    }
}

impl Chart {
    /// The chart as SVG.
    ///
    /// # Errors
    /// When it cannot be drawn.
    pub(super) fn svg(&self) -> Result<String, Box<dyn Error>> {
        let mut text = String::new();
        self.draw(&mut text).map_err(|error| format!("failed to draw the chart: {error}"))?;
        Ok(text)
    }

    fn draw(&self, text: &mut String) -> Result<(), Box<dyn Error>> {
        let error = |error: DrawingAreaErrorKind<_>| error.to_string();
        let area = SVGBackend::with_string(text, SIZE).into_drawing_area();
        area.fill(&WHITE).map_err(error)?;
        let scale = |axis: &Axis| axis.range.clone().log_scale().with_key_points(axis.ticks.clone());
        let mut chart = ChartBuilder::on(&area)
            .caption(self.caption, ("sans-serif", 21))
            .margin(16)
            .x_label_area_size(44)
            .y_label_area_size(72)
            .build_cartesian_2d(scale(&self.x), scale(&self.y))
            .map_err(error)?;
        chart
            .configure_mesh()
            .x_desc(self.x.name)
            .y_desc(self.y.name)
            .x_label_formatter(&number)
            .y_label_formatter(&number)
            .label_style(("sans-serif", 16))
            .light_line_style(TRANSPARENT)
            .draw()
            .map_err(error)?;
        for Line { name, colour, points } in &self.lines {
            let style = colour.stroke_width(2);
            chart
                .draw_series(LineSeries::new(points.iter().copied(), style).point_size(4))
                .map_err(error)?
                .label(*name)
                .legend(move |(x, y)| PathElement::new([(x, y), (x + 20, y)], style));
        }
        chart
            .configure_series_labels()
            .position(SeriesLabelPosition::UpperLeft)
            .label_font(("sans-serif", 16))
            .background_style(WHITE)
            .border_style(BLACK)
            .draw()
            .map_err(error)?;
        area.present().map_err(error)?;
        Ok(())
    }
}

/// A round number, without what a power of ten in binary adds to it.
fn number(number: &f64) -> String {
    if *number < 1.0 { format!("{}", (number * 1e6).round() / 1e6) } else { format!("{number:.0}") }
}

#[cfg(test)]
pub(super) mod tests {
    use super::{Axis, Chart, GREEN, GREY, Line, RGBColor, number};

    /// How many lines of `svg` have `colour`: each has a sample of itself in the legend.
    pub(in super::super) fn lines_of(svg: &str, RGBColor(red, green, blue): RGBColor) -> usize {
        let stroke = format!("stroke=\"#{red:02X}{green:02X}{blue:02X}\"");
        svg.lines().filter(|line| line.starts_with("<polyline") && line.contains(&stroke)).count()
    }

    #[test]
    fn a_line_has_its_name_and_its_colour() {
        let line =
            |name, colour, factor| Line { name, colour, points: vec![(10.0, 20.0 * factor), (50.0, 90.0 * factor)] };
        let chart = Chart {
            caption: "Cost",
            x: Axis { name: "hosts", range: 8.0..60.0, ticks: vec![10.0, 50.0] },
            y: Axis::around("ms", [20.0, 180.0].into_iter()),
            lines: vec![line("event", GREEN, 1.0), line("none", GREY, 2.0)],
        };
        let svg = chart.svg().unwrap();
        assert!(svg.starts_with("<svg") && svg.trim_end().ends_with("</svg>"));
        for text in ["Cost", "hosts", "ms", "event", "none", "10", "50", "100", "200"] {
            assert!(svg.contains(&format!("\n{text}\n")), "{text}");
        }
        assert_eq!((lines_of(&svg, GREEN), lines_of(&svg, GREY)), (2, 2));
    }

    #[test]
    fn an_axis_has_round_numbers() {
        let ticks = |values: [f64; 2]| {
            let axis = Axis::around("", values.into_iter());
            axis.ticks.iter().map(number).collect::<Vec<_>>().join(" ")
        };
        assert_eq!(ticks([0.9, 7.0]), "0.5 1 2 5 10");
        assert_eq!(ticks([0.05, 30_000.0]), "0.1 1 10 100 1000 10000");
    }
}
