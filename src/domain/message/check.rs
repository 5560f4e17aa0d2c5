//! What a template may say. It is looked at before it is compiled, since already the compiler would work out
//! `"x" * 100000000`. Of Jinja there are texts, variables, filters, comparisons and `if`: nothing that loops, assigns,
//! calls or makes much out of little, and nothing that could fail while a push is sent.

use minijinja::{
    Environment,
    machinery::{
        Token,
        ast::{BinOpKind, CallArg, CompareOpKind, Expr, Filter, IfCond, Stmt, Test, UnaryOpKind},
        parse, tokenize,
    },
    syntax::SyntaxConfig,
    value::Value,
};

use super::{
    filters::FILTERS,
    formats::{DATE_STYLES, categories},
    guard::{parts_of, sure_of},
    locale::Language,
    money,
    path::Path,
};
use crate::domain::json_reader::did_you_mean;

/// Longest expression, in tokens. Longer ones could nest too deeply for the parser's stack.
const EXPRESSION_TOKENS_MAX: usize = 200;
/// Most variables of one template.
const READS_MAX: usize = 50;
/// What may stand after `is`.
const TESTS: [&str; 2] = ["defined", "undefined"];
/// Names of all filters.
const FILTER_NAMES: [&str; FILTERS.len()] = {
    let mut names = [""; FILTERS.len()];
    let mut index = 0;
    while index < names.len() {
        names[index] = FILTERS[index].name;
        index += 1;
    }
    names
};

/// Makes what may stand after `is` known to templates.
pub(super) fn add_tests_to(environment: &mut Environment<'static>) {
    environment.add_test("defined", minijinja::tests::is_defined);
    environment.add_test("undefined", minijinja::tests::is_undefined);
}

/// A variable that a template reads.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Read {
    /// Which one.
    pub(super) path: Path,
    /// Whether the text has a hole where it is missing.
    pub(super) is_needed: bool,
}

/// Why a template is refused.
type Check = Result<(), String>;

/// Checks a template in a language, and tells what it reads.
pub(super) fn check(source: &str, language: &Language) -> Result<Vec<Read>, String> {
    bound_expressions(source)?;
    let template = parse(source, "template", SyntaxConfig::default()).map_err(|error| {
        let detail = error.detail().unwrap_or("it is no template");
        format!("line {}: {detail}", error.line().unwrap_or(1))
    })?;
    let Stmt::Template(template) = template else {
        return Err("is no template".to_owned());
    };
    let mut checker = Checker {
        language,
        known: Vec::new(),
        reads: Vec::new(),
    };
    checker.statements(&template.children)?;
    Ok(checker.reads)
}

fn bound_expressions(source: &str) -> Check {
    let mut tokens = 0;
    // What is no token is told by the parser.
    for (token, _) in tokenize(source, false, SyntaxConfig::default()).map_while(Result::ok) {
        match token {
            Token::VariableStart | Token::BlockStart => tokens = 0,
            _ => tokens += 1,
        }
        if tokens > EXPRESSION_TOKENS_MAX {
            return Err(format!(
                "an expression has more than {EXPRESSION_TOKENS_MAX} parts; make it simpler"
            ));
        }
    }
    Ok(())
}

struct Checker<'a> {
    language: &'a Language,
    /// Variables that are there where the walk is now, since an `if` around has asked.
    known: Vec<Path>,
    reads: Vec<Read>,
}

/// Whether a missing value leaves a hole in the text.
#[derive(Clone, Copy, PartialEq)]
enum Missing {
    Hole,
    Harmless,
}

impl Checker<'_> {
    fn statements(&mut self, statements: &[Stmt]) -> Check {
        statements.iter().try_for_each(|statement| self.statement(statement))
    }

    fn statement(&mut self, statement: &Stmt) -> Check {
        let refused = match statement {
            Stmt::EmitRaw(_) => return Ok(()),
            Stmt::EmitExpr(emit) => return self.expression(&emit.expr, Missing::Hole),
            Stmt::IfCond(branch) => return self.branch(branch),
            Stmt::Template(_) => "template",
            Stmt::ForLoop(_) => "for",
            Stmt::WithBlock(_) => "with",
            Stmt::Set(_) | Stmt::SetBlock(_) => "set",
            Stmt::AutoEscape(_) => "autoescape",
            Stmt::FilterBlock(_) => "filter",
            Stmt::Do(_) => "do",
        };
        Err(format!(
            "`{{% {refused} %}}` is not allowed; only if, elif, else, endif are"
        ))
    }

    fn branch(&mut self, branch: &IfCond) -> Check {
        self.expression(&branch.expr, Missing::Harmless)?;
        self.knowing(sure_of(&branch.expr, true), |checker| {
            checker.statements(&branch.true_body)
        })?;
        self.knowing(sure_of(&branch.expr, false), |checker| {
            checker.statements(&branch.false_body)
        })
    }

    fn knowing(&mut self, more: Vec<Path>, walk: impl FnOnce(&mut Self) -> Check) -> Check {
        let before = self.known.len();
        self.known.extend(more);
        let walked = walk(self);
        self.known.truncate(before);
        walked
    }

    fn expression(&mut self, expression: &Expr, missing: Missing) -> Check {
        match expression {
            Expr::Var(_) | Expr::GetAttr(_) | Expr::GetItem(_) => {
                let path = Path::new(parts_of(expression)?)?;
                self.read(path, missing)
            }
            Expr::Const(_) => Ok(()),
            Expr::UnaryOp(unary) => match unary.op {
                UnaryOpKind::Not => self.expression(&unary.expr, Missing::Harmless),
                UnaryOpKind::Neg if matches!(unary.expr, Expr::Const(_)) => number_only(&unary.expr),
                UnaryOpKind::Neg => Err("`-` is not allowed before a variable; write `| times(-1)`".to_owned()),
            },
            Expr::BinOp(binary) => match binary.op {
                BinOpKind::ScAnd => {
                    self.expression(&binary.left, missing)?;
                    let sure = sure_of(&binary.left, true);
                    self.knowing(sure, |checker| checker.expression(&binary.right, missing))
                }
                BinOpKind::ScOr => {
                    self.expression(&binary.left, Missing::Harmless)?;
                    self.expression(&binary.right, missing)
                }
                BinOpKind::In => self.membership(&binary.left, &binary.right),
                BinOpKind::Eq | BinOpKind::Ne | BinOpKind::Lt | BinOpKind::Lte | BinOpKind::Gt | BinOpKind::Gte => {
                    self.expression(&binary.left, Missing::Harmless)?;
                    self.expression(&binary.right, Missing::Harmless)
                }
                BinOpKind::Add => instead("+", "plus(2)"),
                BinOpKind::Sub => instead("-", "minus(2)"),
                BinOpKind::Mul => instead("*", "times(2)"),
                BinOpKind::Div => instead("/", "divided_by(2)"),
                BinOpKind::FloorDiv => instead("//", "divided_by(2) | round"),
                BinOpKind::Rem | BinOpKind::Pow => Err("`%` and `**` are not allowed".to_owned()),
                BinOpKind::Concat => {
                    Err("`~` is not allowed; write the two one after the other: `{{ a }}{{ b }}`".to_owned())
                }
            },
            Expr::Compare(chain) => {
                self.expression(&chain.expr, Missing::Harmless)?;
                for next in &chain.ops {
                    match next.op {
                        CompareOpKind::In | CompareOpKind::NotIn => self.membership(&chain.expr, &next.expr)?,
                        CompareOpKind::Eq
                        | CompareOpKind::Ne
                        | CompareOpKind::Lt
                        | CompareOpKind::Lte
                        | CompareOpKind::Gt
                        | CompareOpKind::Gte => self.expression(&next.expr, Missing::Harmless)?,
                    }
                }
                Ok(())
            }
            Expr::IfExpr(choice) => {
                self.expression(&choice.test_expr, Missing::Harmless)?;
                let sure = sure_of(&choice.test_expr, true);
                self.knowing(sure, |checker| checker.expression(&choice.true_expr, missing))?;
                let Some(other) = &choice.false_expr else {
                    return Ok(());
                };
                let sure = sure_of(&choice.test_expr, false);
                self.knowing(sure, |checker| checker.expression(other, missing))
            }
            Expr::Filter(filter) => self.filter(filter, missing),
            Expr::Test(test) => self.test(test),
            Expr::Call(_) => Err("functions can't be called here; filters can: `{{ user.name | upper }}`".to_owned()),
            Expr::Slice(_) => Err("`[:]` is not allowed; write `| truncate(10)`, `| first` or `| last`".to_owned()),
            Expr::List(_) | Expr::Tuple(_) => Err("a list may only stand after `in`, or be a variable".to_owned()),
            Expr::Map(_) => Err("`{...}` is not allowed inside a template".to_owned()),
        }
    }

    fn read(&mut self, path: Path, missing: Missing) -> Check {
        let is_needed = missing == Missing::Hole && !self.known.contains(&path);
        if let Some(read) = self.reads.iter_mut().find(|read| read.path == path) {
            read.is_needed |= is_needed;
            return Ok(());
        }
        if self.reads.len() == READS_MAX {
            return Err(format!("reads more than {READS_MAX} variables"));
        }
        self.reads.push(Read { path, is_needed });
        Ok(())
    }

    /// `in` fails on what holds nothing, so only lists that stand there are taken.
    fn membership(&mut self, wanted: &Expr, list: &Expr) -> Check {
        let Expr::List(list) = list else {
            return Err(
                "`in` needs a list: `in [\"gold\", \"silver\"]`; for a variable write `| contains(\"gold\")`"
                    .to_owned(),
            );
        };
        self.expression(wanted, Missing::Harmless)?;
        list.items
            .iter()
            .try_for_each(|item| self.expression(item, Missing::Harmless))
    }

    fn test(&mut self, test: &Test) -> Check {
        if !TESTS.contains(&test.name) || !test.args.is_empty() {
            return Err(unknown("test", test.name, &TESTS));
        }
        self.expression(&test.expr, Missing::Harmless)
    }

    fn filter(&mut self, filter: &Filter, missing: Missing) -> Check {
        let Some(known) = FILTERS.iter().find(|known| known.name == filter.name) else {
            return Err(unknown("filter", filter.name, &FILTER_NAMES));
        };
        let (mut positional, mut named) = (Vec::new(), Vec::new());
        for argument in &filter.args {
            match argument {
                CallArg::Pos(value) => positional.push(value),
                CallArg::Kwarg(name, value) => named.push((*name, value)),
                CallArg::PosSplat(_) | CallArg::KwargSplat(_) => return Err("`*` is not allowed".to_owned()),
            }
        }
        let (least, most) = known.positional;
        if !(least..=most).contains(&positional.len()) {
            let wanted = if least == most {
                format!("{most}")
            } else {
                format!("{least} to {most}")
            };
            return Err(format!(
                "`{}` takes {wanted} values in its brackets, not {}",
                known.name,
                positional.len()
            ));
        }
        if let Some((name, _)) = named.iter().find(|(name, _)| !known.named.contains(name)) {
            return Err(unknown(&format!("value of `{}`", known.name), name, known.named));
        }
        self.values_of(known.name, &positional, &named)?;
        let before = match known.name {
            "default" | "length" | "contains" => Missing::Harmless,
            _ => missing,
        };
        if let Some(value) = &filter.expr {
            self.expression(value, before)?;
        }
        let values = positional.into_iter().chain(named.into_iter().map(|(_, value)| value));
        values.into_iter().try_for_each(|value| self.expression(value, missing))
    }

    /// Refuses what can be seen to be wrong without rendering.
    fn values_of(&self, filter: &str, positional: &[&Expr], named: &[(&str, &Expr)]) -> Check {
        let first = positional.first().and_then(|value| value.as_const());
        match filter {
            "plural" => plural_forms(self.language, named),
            "money" => first.map_or(Ok(()), |currency| one_of_currencies(&currency)),
            "date" => {
                let styles = DATE_STYLES.map(|(name, _)| name);
                match (positional.first(), first.as_ref().and_then(Value::as_str)) {
                    (Some(_), Some(style)) if !styles.contains(&style) => {
                        Err(unknown("style of `date`", style, &styles))
                    }
                    (Some(_), None) => Err(format!("`date` takes one of {} in quotes", styles.join(", "))),
                    (Some(_), Some(_)) | (None, _) => zone_is_known(named),
                }
            }
            "time" => zone_is_known(named),
            _ => Ok(()),
        }
    }
}

fn plural_forms(language: &Language, forms: &[(&str, &Expr)]) -> Check {
    let categories = categories(language);
    if let Some((form, _)) = forms.iter().find(|(form, _)| !categories.contains(form)) {
        return Err(format!(
            "`{language}` has no plural `{form}`; it has {}",
            categories.join(", ")
        ));
    }
    if !forms.iter().any(|(form, _)| *form == "other") {
        return Err("`plural` needs `other`: `| plural(one=\"# minute\", other=\"# minutes\")`".to_owned());
    }
    Ok(())
}

fn one_of_currencies(value: &Value) -> Check {
    match value.as_str() {
        Some(code) if money::is_currency(code) => Ok(()),
        Some(code) => Err(unknown_word("currency (ISO 4217)", code, &money::currencies())),
        None => Err("`money` takes a currency in quotes: `| money(\"EUR\")`".to_owned()),
    }
}

fn zone_is_known(named: &[(&str, &Expr)]) -> Check {
    let zone = named
        .iter()
        .find(|(name, _)| *name == "zone")
        .and_then(|(_, value)| value.as_const());
    match zone.as_ref().map(Value::as_str) {
        Some(Some(name)) if jiff::tz::TimeZone::get(name).is_ok() => Ok(()),
        Some(_) => Err("`zone` is no IANA time zone, such as \"Europe/Zurich\"".to_owned()),
        None => Ok(()),
    }
}

fn number_only(expression: &Expr) -> Check {
    match expression.as_const() {
        Some(value) if value.is_number() => Ok(()),
        _ => Err("`-` may only stand before a number".to_owned()),
    }
}

fn instead(operator: &str, filter: &str) -> Check {
    Err(format!(
        "`{operator}` is not allowed; write a filter, such as `| {filter}`"
    ))
}

fn unknown(kind: &str, written: &str, known: &[&str]) -> String {
    format!("{} known are {}", unknown_word(kind, written, known), known.join(", "))
}

fn unknown_word(kind: &str, written: &str, known: &[&str]) -> String {
    let near = did_you_mean(written, known).map(|near| format!(" did you mean `{near}`?"));
    let shown: String = written.chars().take(40).collect();
    format!("`{shown}` is no {kind} here;{}", near.unwrap_or_default())
}
