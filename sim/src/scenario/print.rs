//! Prints a scenario as a file that parses to the same value: with it a scenario that was
//! changed by overrides or made smaller can be kept.

use super::model::Scenario;

/// `scenario` as YAML; defaults are written out.
///
/// # Errors
/// What the serializer cannot print, in its words.
pub fn print(scenario: &Scenario) -> Result<String, String> {
    let options = serde_saphyr::ser_options! { prefer_block_scalars: false };
    let mut text = String::new();
    serde_saphyr::to_fmt_writer_with_options(&mut text, scenario, options).map_err(|error| error.to_string())?;
    Ok(text)
}
