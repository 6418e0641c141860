//! The chart: CPU time per simulated second against hosts, at paced load, on two logarithmic axes. A line of slope one is a
//! cost that follows the number of hosts.

use std::error::Error;

use plotters::prelude::*;

use super::estimates::Figures;

const SIZE: (u32, u32) = (760, 480);
const HOSTS: [u32; 3] = [10, 50, 200];

/// Each with a colour that people with colour blindness can tell apart (Okabe and Ito 2008).
const CONTENDERS: [(&str, RGBColor); 3] =
    [("turmoil", RGBColor(213, 94, 0)), ("turmoil-net", RGBColor(0, 114, 178)), ("event", RGBColor(0, 158, 115))];

/// The chart as SVG.
///
/// # Errors
/// When something was not measured.
pub(super) fn svg(figures: &Figures) -> Result<String, Box<dyn Error>> {
    let mut lines = Vec::new();
    for (contender, colour) in CONTENDERS {
        let mut points = Vec::new();
        for hosts in HOSTS {
            // A rate is simulated milliseconds per second, so its inverse is seconds per simulated millisecond.
            let cost_ms = 1e6 / figures.rate(&format!("paced/{hosts}"), contender)?.best;
            points.push((f64::from(hosts), cost_ms));
        }
        lines.push((contender, colour, points));
    }
    let mut text = String::new();
    draw(&mut text, &lines).map_err(|error| format!("failed to draw the chart: {error}"))?;
    Ok(text)
}

type Line = (&'static str, RGBColor, Vec<(f64, f64)>);

fn draw(text: &mut String, lines: &[Line]) -> Result<(), Box<dyn Error>> {
    let costs = || lines.iter().flat_map(|(_, _, points)| points.iter().map(|(_, cost)| *cost));
    let least = costs().fold(f64::INFINITY, f64::min) / 2.0;
    let most = costs().fold(0.0, f64::max) * 2.0;
    let error = |error: DrawingAreaErrorKind<_>| error.to_string();
    let area = SVGBackend::with_string(text, SIZE).into_drawing_area();
    area.fill(&WHITE).map_err(error)?;
    let mut chart = ChartBuilder::on(&area)
        .caption("CPU time per simulated second, each host calling once in 100 ms", ("sans-serif", 21))
        .margin(16)
        .x_label_area_size(44)
        .y_label_area_size(72)
        .build_cartesian_2d(
            (8.0..250.0).log_scale().with_key_points(vec![10.0, 50.0, 200.0]),
            (least..most).log_scale(),
        )
        .map_err(error)?;
    chart
        .configure_mesh()
        .x_desc("hosts")
        .y_desc("ms of CPU time per simulated second")
        .x_label_formatter(&|hosts| format!("{hosts:.0}"))
        .y_label_formatter(&|cost| if *cost < 1.0 { format!("{cost}") } else { format!("{cost:.0}") })
        .label_style(("sans-serif", 16))
        .light_line_style(TRANSPARENT)
        .draw()
        .map_err(error)?;
    for (name, colour, points) in lines {
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

#[cfg(test)]
mod tests {
    use super::super::estimates::{Figures, Rate};
    use super::{CONTENDERS, HOSTS, RGBColor, svg};

    #[test]
    fn every_contender_has_its_line() {
        let mut figures = Figures::default();
        for (index, (contender, _)) in CONTENDERS.iter().enumerate() {
            for hosts in HOSTS {
                let rate = f64::from(hosts) * (index + 1) as f64 * 1e3;
                figures.add(&format!("paced/{hosts}"), contender, Rate { best: rate, median: rate });
            }
        }
        let svg = svg(&figures).unwrap();
        assert!(svg.starts_with("<svg") && svg.trim_end().ends_with("</svg>"));
        for (contender, RGBColor(red, green, blue)) in CONTENDERS {
            assert!(svg.contains(&format!("\n{contender}\n")), "its name");
            let stroke = format!("stroke=\"#{red:02X}{green:02X}{blue:02X}\"");
            let lines = svg.lines().filter(|line| line.starts_with("<polyline") && line.contains(&stroke));
            assert_eq!(lines.count(), 2, "its line, and a sample of that in the legend");
        }
    }
}
