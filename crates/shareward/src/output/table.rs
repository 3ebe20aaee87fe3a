//! Tables in NET's columns.

use super::{RULE, cleaned_line, columns, cut_end, cut_middle};

/// One column.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Column {
    /// The header.
    pub(crate) title: &'static str,
    /// The width in NET's layout.
    pub(crate) width: usize,
    /// The alignment of values.
    pub(crate) align: Align,
    /// The way to shorten values that are too long.
    pub(crate) cut: Cut,
}

/// The alignment of values in a column.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Align {
    /// Left.
    Left,
    /// Right.
    Right,
}

/// The way to shorten values that are longer than the column.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Cut {
    /// Never; the column grows.
    Never,
    /// Cut the end with `--compat`; otherwise the column grows.
    End,
    /// Cut the middle with `--compat` or if the terminal is too narrow; otherwise the column grows.
    Middle,
}

/// A table of rows with one value for each column. The rows are iterated twice, once for the widths and once for the
/// text, so that a long list is not copied.
pub(crate) struct Table<'a, R> {
    /// The columns.
    pub(crate) columns: &'a [Column],
    /// The rows.
    pub(crate) rows: R,
}

impl<R, V> Table<'_, R>
where
    R: Iterator<Item = Vec<V>> + Clone,
    V: AsRef<str>,
{
    /// The table as text: header, blank line, rule, rows. If all values fit, the columns are those of NET. `terminal`
    /// is the terminal's width; `None` cuts nothing for it.
    pub(crate) fn text(self, compat: bool, terminal: Option<usize>) -> String {
        let widths = self.widths(compat, terminal);
        let mut text = String::new();
        self.write_row(self.columns.iter().map(|column| column.title), &widths, &mut text);
        text.push_str(&format!("\n{RULE}\n"));
        for row in self.rows.clone() {
            self.write_row(row.iter().map(AsRef::as_ref), &widths, &mut text);
        }
        text
    }

    fn widths(&self, compat: bool, terminal: Option<usize>) -> Vec<usize> {
        let mut widths: Vec<usize> = self.columns.iter().map(|column| column.width).collect();
        for row in self.rows.clone() {
            for ((width, column), value) in widths.iter_mut().zip(self.columns).zip(&row) {
                if column.cut == Cut::Never || !compat {
                    *width = (*width).max(columns(&cleaned_line(value.as_ref())));
                }
            }
        }
        if let Some(terminal) = terminal.filter(|_| !compat) {
            let total = widths.iter().sum::<usize>() + widths.len().saturating_sub(1);
            let excess = total.saturating_sub(terminal);
            for (width, column) in
                widths.iter_mut().zip(self.columns).filter(|(_, column)| column.cut == Cut::Middle)
            {
                *width = width.saturating_sub(excess).max(column.width);
            }
        }
        widths
    }

    fn write_row<'v>(&self, values: impl Iterator<Item = &'v str>, widths: &[usize], text: &mut String) {
        let start = text.len();
        for ((column, value), &width) in self.columns.iter().zip(values).zip(widths) {
            if text.len() > start {
                text.push(' ');
            }
            let value = cleaned_line(value);
            let value = match column.cut {
                Cut::Never => value,
                Cut::End => cut_end(&value, width),
                Cut::Middle => cut_middle(&value, width),
            };
            let gap = std::iter::repeat_n(' ', width.saturating_sub(columns(&value)));
            match column.align {
                Align::Left => {
                    text.push_str(&value);
                    text.extend(gap);
                }
                Align::Right => {
                    text.extend(gap);
                    text.push_str(&value);
                }
            }
        }
        text.truncate(text.trim_end().len().max(start));
        text.push('\n');
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const COLUMNS: [Column; 3] = [
        Column { title: "ID", width: 4, align: Align::Right, cut: Cut::Never },
        Column { title: "Path", width: 12, align: Align::Left, cut: Cut::Middle },
        Column { title: "Who", width: 5, align: Align::Left, cut: Cut::End },
    ];

    fn rows(compat: bool, terminal: Option<usize>, path: &str, who: &str) -> Vec<String> {
        let table = Table { columns: &COLUMNS, rows: std::iter::once(vec!["7", path, who]) };
        table
            .text(compat, terminal)
            .lines()
            .filter(|line| *line != RULE && !line.is_empty())
            .map(str::to_owned)
            .collect()
    }

    #[test]
    fn values_that_fit_stand_where_the_header_is() {
        assert_eq!(rows(false, None, "/a/b", "me"), ["  ID Path         Who", "   7 /a/b         me"]);
    }

    #[test]
    fn without_a_terminal_nothing_is_cut_and_columns_grow() {
        assert_eq!(
            rows(false, None, "/srv/data/long/path.txt", "somebody"),
            ["  ID Path                    Who", "   7 /srv/data/long/path.txt somebody"]
        );
    }

    #[test]
    fn a_terminal_cuts_only_what_may_be_cut_in_the_middle_and_no_more_than_needed() {
        assert_eq!(
            rows(false, Some(80), "/srv/data/long/path.txt", "me")[1],
            "   7 /srv/data/long/path.txt me"
        );
        assert_eq!(rows(false, Some(27), "/srv/data/long/path.txt", "me")[1], "   7 /srv.../path.txt me");
        assert_eq!(
            rows(false, Some(10), "/srv/data/long/path.txt", "somebody")[1],
            "   7 /sr...th.txt somebody"
        );
    }

    #[test]
    fn compat_cuts_to_the_columns_of_net_whatever_the_terminal() {
        assert_eq!(
            rows(true, Some(300), "/srv/data/long/path.txt", "somebody")[1],
            "   7 /sr...th.txt someb"
        );
    }
}
