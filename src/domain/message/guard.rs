//! Which variable an expression is, and which ones a condition makes sure of.

use minijinja::{
    machinery::ast::{BinOpKind, Expr, UnaryOpKind},
    value::Value,
};

use super::path::Path;

/// The parts of a variable's name.
pub(super) fn parts_of(expression: &Expr) -> Result<Vec<String>, String> {
    let mut parts = Vec::new();
    let mut next = expression;
    loop {
        match next {
            Expr::Var(variable) => {
                parts.push(variable.id.to_owned());
                parts.reverse();
                return Ok(parts);
            }
            Expr::GetAttr(attribute) => {
                parts.push(attribute.name.to_owned());
                next = &attribute.expr;
            }
            Expr::GetItem(item) => {
                let key = item.subscript_expr.as_const();
                let key = key.as_ref().and_then(Value::as_str);
                parts.push(
                    key.ok_or(
                        "only a name in quotes may stand in `[]`; for items of lists there are `| first` and `| last`",
                    )?
                    .to_owned(),
                );
                next = &item.expr;
            }
            Expr::Const(_)
            | Expr::Slice(_)
            | Expr::UnaryOp(_)
            | Expr::BinOp(_)
            | Expr::Compare(_)
            | Expr::IfExpr(_)
            | Expr::Filter(_)
            | Expr::Test(_)
            | Expr::Call(_)
            | Expr::List(_)
            | Expr::Tuple(_)
            | Expr::Map(_) => return Err("`.` and `[]` may only follow a variable".to_owned()),
        }
    }
}

/// The variables that are there when the condition is `holds`.
pub(super) fn sure_of(condition: &Expr, holds: bool) -> Vec<Path> {
    let path = |expression: &Expr| -> Vec<Path> { parts_of(expression).and_then(Path::new).into_iter().collect() };
    let is_value = |expression: &Expr| expression.as_const().is_some_and(|value| value.is_true());
    let is_number = |expression: &Expr| expression.as_const().is_some_and(|value| value.is_number());
    match condition {
        Expr::Var(_) | Expr::GetAttr(_) | Expr::GetItem(_) if holds => path(condition),
        Expr::UnaryOp(unary) if matches!(unary.op, UnaryOpKind::Not) => sure_of(&unary.expr, !holds),
        Expr::BinOp(binary) => match (binary.op, holds) {
            (BinOpKind::ScAnd, true) | (BinOpKind::ScOr, false) => {
                let mut both = sure_of(&binary.left, holds);
                both.extend(sure_of(&binary.right, holds));
                both
            }
            (BinOpKind::Eq, true) | (BinOpKind::Ne, false) if is_value(&binary.right) => path(&binary.left),
            // What is missing is less than every number.
            (BinOpKind::Gt | BinOpKind::Gte, true) | (BinOpKind::Lt | BinOpKind::Lte, false)
                if is_number(&binary.right) =>
            {
                path(&binary.left)
            }
            (BinOpKind::In, true) => path(&binary.left),
            _ => Vec::new(),
        },
        Expr::Test(test) if (test.name == "defined") == holds => path(&test.expr),
        Expr::Filter(filter) if holds => match (filter.name, &filter.expr) {
            ("default" | "length", _) | (_, None) => Vec::new(),
            (_, Some(value)) => sure_of(value, true),
        },
        _ => Vec::new(),
    }
}
