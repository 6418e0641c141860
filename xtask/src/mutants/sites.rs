//! Where in a file's syntax a change can be switched: for each operator, match arm, guard, field and function the piece of
//! text around which a switch fits. It knows syntax only, no mutants.

use std::collections::BTreeMap;
use std::ops::Range;

use proc_macro2::LineColumn;
use syn::spanned::Spanned;
use syn::visit::{self, Visit};

use super::list::{Genre, Place};

/// A place where a change can be switched.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Site {
    /// In bytes: the whole expression, or where to insert.
    pub(super) range: Range<usize>,
    /// Why it cannot be switched at run time.
    pub(super) obstacle: Option<&'static str>,
}

/// The sites of a file, by the genre of change and the place at which cargo-mutants says that it is.
pub(super) type Sites = BTreeMap<(Genre, Place), Site>;

/// It is computed while compiling, where nothing can be asked.
const CONSTANT: &str = "in a constant: computed by the compiler, so no switch at run time reaches it";
/// The two answers are of different types.
const OPAQUE: &str = "of a function that returns impl Trait: one build has one type there";
/// Not a mutant that compiles.
const LET_CONDITION: &str = "joins a let condition, which takes && only";
/// Neither is this.
const NOT_EXHAUSTIVE: &str = "the match would not be exhaustive";
/// The obstacles of what would not compile as a mutant alone, either.
pub(super) const UNVIABLE: [&str; 2] = [LET_CONDITION, NOT_EXHAUSTIVE];

/// Finds all sites of `source`.
///
/// # Errors
/// When it is no Rust.
pub(super) fn sites(source: &str) -> Result<Sites, syn::Error> {
    let file = syn::parse_file(source)?;
    let mut finder = Finder { lines: Lines::new(source), constants: 0, sites: Sites::new() };
    finder.visit_file(&file);
    Ok(finder.sites)
}

/// Where the lines of a text begin.
pub(super) struct Lines<'a> {
    source: &'a str,
    starts: Vec<usize>,
}

impl<'a> Lines<'a> {
    pub(super) fn new(source: &'a str) -> Self {
        let starts = std::iter::once(0).chain(source.match_indices('\n').map(|(at, _)| at + 1)).collect();
        Self { source, starts }
    }

    /// The byte at `place`.
    pub(super) fn offset(&self, place: Place) -> usize {
        let start = self.starts.get(place.line - 1).copied().unwrap_or(self.source.len());
        let within =
            self.source[start..].char_indices().nth(place.column - 1).map_or(self.source.len() - start, |it| it.0);
        start + within
    }
}

fn place(position: LineColumn) -> Place {
    Place { line: position.line, column: position.column + 1 }
}

struct Finder<'a> {
    lines: Lines<'a>,
    /// How many constants are around.
    constants: usize,
    sites: Sites,
}

impl Finder<'_> {
    fn range(&self, node: &impl Spanned) -> Range<usize> {
        let span = node.span();
        self.lines.offset(place(span.start()))..self.lines.offset(place(span.end()))
    }

    fn add(&mut self, genre: Genre, at: &impl Spanned, range: Range<usize>, obstacle: Option<&'static str>) {
        let obstacle = if self.constants > 0 { Some(CONSTANT) } else { obstacle };
        self.sites.insert((genre, place(at.span().start())), Site { range, obstacle });
    }

    fn function(&mut self, signature: &syn::Signature, block: &syn::Block, within: impl FnOnce(&mut Self)) {
        let constant = usize::from(signature.constness.is_some());
        self.constants += constant;
        if let Some(first) = block.stmts.first() {
            let start = self.range(first).start;
            let opaque =
                matches!(&signature.output, syn::ReturnType::Type(_, of) if matches!(**of, syn::Type::ImplTrait(_)));
            self.add(Genre::FnValue, first, start..start, opaque.then_some(OPAQUE));
        }
        within(self);
        self.constants -= constant;
    }

    fn constant(&mut self, within: impl FnOnce(&mut Self)) {
        self.constants += 1;
        within(self);
        self.constants -= 1;
    }
}

fn has_let(expression: &syn::Expr) -> bool {
    match expression {
        syn::Expr::Let(_) => true,
        syn::Expr::Binary(binary) if matches!(binary.op, syn::BinOp::And(_)) => {
            has_let(&binary.left) || has_let(&binary.right)
        }
        _ => false,
    }
}

impl<'ast> Visit<'ast> for Finder<'_> {
    fn visit_item_fn(&mut self, item: &'ast syn::ItemFn) {
        self.function(&item.sig, &item.block, |finder| visit::visit_item_fn(finder, item));
    }

    fn visit_impl_item_fn(&mut self, item: &'ast syn::ImplItemFn) {
        self.function(&item.sig, &item.block, |finder| visit::visit_impl_item_fn(finder, item));
    }

    fn visit_trait_item_fn(&mut self, item: &'ast syn::TraitItemFn) {
        match &item.default {
            Some(block) => self.function(&item.sig, block, |finder| visit::visit_trait_item_fn(finder, item)),
            None => visit::visit_trait_item_fn(self, item),
        }
    }

    fn visit_item_const(&mut self, item: &'ast syn::ItemConst) {
        self.constant(|finder| visit::visit_item_const(finder, item));
    }

    fn visit_impl_item_const(&mut self, item: &'ast syn::ImplItemConst) {
        self.constant(|finder| visit::visit_impl_item_const(finder, item));
    }

    fn visit_trait_item_const(&mut self, item: &'ast syn::TraitItemConst) {
        self.constant(|finder| visit::visit_trait_item_const(finder, item));
    }

    fn visit_item_static(&mut self, item: &'ast syn::ItemStatic) {
        self.constant(|finder| visit::visit_item_static(finder, item));
    }

    fn visit_type_array(&mut self, array: &'ast syn::TypeArray) {
        self.constant(|finder| visit::visit_type_array(finder, array));
    }

    fn visit_expr_repeat(&mut self, repeat: &'ast syn::ExprRepeat) {
        self.visit_expr(&repeat.expr);
        self.constant(|finder| finder.visit_expr(&repeat.len));
    }

    fn visit_expr_binary(&mut self, binary: &'ast syn::ExprBinary) {
        let lets = has_let(&binary.left) || has_let(&binary.right);
        let range = self.range(binary);
        self.add(Genre::BinaryOperator, &binary.op, range, lets.then_some(LET_CONDITION));
        visit::visit_expr_binary(self, binary);
    }

    fn visit_expr_unary(&mut self, unary: &'ast syn::ExprUnary) {
        let range = self.range(unary);
        self.add(Genre::UnaryOperator, &unary.op, range, None);
        visit::visit_expr_unary(self, unary);
    }

    fn visit_expr_match(&mut self, expression: &'ast syn::ExprMatch) {
        // An arm with a guard, which a switch is, too, does not count as covering anything.
        let covered = expression.arms.iter().any(|arm| matches!(arm.pat, syn::Pat::Wild(_)) && arm.guard.is_none());
        for arm in &expression.arms {
            let end = self.range(&arm.pat).end;
            self.add(Genre::MatchArm, arm, end..end, (!covered).then_some(NOT_EXHAUSTIVE));
        }
        visit::visit_expr_match(self, expression);
    }

    fn visit_arm(&mut self, arm: &'ast syn::Arm) {
        if let Some((_, guard)) = &arm.guard {
            let range = self.range(&**guard);
            self.add(Genre::MatchArmGuard, &**guard, range, has_let(guard).then_some(LET_CONDITION));
        }
        visit::visit_arm(self, arm);
    }

    fn visit_expr_struct(&mut self, expression: &'ast syn::ExprStruct) {
        let range = self.range(expression);
        for field in &expression.fields {
            self.add(Genre::StructField, field, range.clone(), None);
        }
        visit::visit_expr_struct(self, expression);
    }
}
