import Testing

/// docs/coverage.md names only what exists: each row's Swift is declared, each of its tests is one.
@Suite struct CoverageTests {
    struct Row {
        let line: Int
        let verb: String
        let swift: [String]
        let tests: [String]
        let rxe: String
    }

    /// The rows of the tables, without their heads.
    static func rows(_ text: some Sequence<String>) -> [Row] {
        text.enumerated().compactMap { number, line in
            let cells = line.split(separator: "|", omittingEmptySubsequences: false).map {
                $0.trimmingPrefix { $0 == " " }
            }
            guard cells.count == 6, !cells[1].hasPrefix("verb"), !cells[1].hasPrefix("---") else { return nil }
            return Row(
                line: number + 1, verb: String(cells[1]), swift: quoted(cells[2]), tests: quoted(cells[3]),
                rxe: String(cells[4]))
        }
    }

    /// What stands between backticks.
    private static func quoted(_ cell: Substring) -> [String] {
        cell.split(separator: "`", omittingEmptySubsequences: false).enumerated()
            .filter { $0.offset % 2 == 1 }.map { String($0.element) }
    }

    static let page = Result {
        rows(try #require(try Repository.files().first { $0.path == "docs/coverage.md" }).lines)
    }

    @Test func everyRowIsWhole() throws {
        let rows = try Self.page.get()
        #expect(rows.count >= 50, "the table is not understood")
        for row in rows {
            #expect(!row.verb.isEmpty && !row.tests.isEmpty, "line \(row.line) has no test")
            #expect(
                ["yes", "unsupported", "none"].contains { row.rxe.hasPrefix($0) }, "line \(row.line): \(row.rxe)")
            if row.swift.isEmpty { #expect(row.rxe.hasPrefix("none"), "line \(row.line) names no Swift") }
        }
    }

    @Test func everySymbolIsDeclared() throws {
        let declared = try ArticleTests.declared.get()
        for row in try Self.page.get() {
            for symbol in row.swift {
                for part in symbol.prefix(while: { $0 != "(" }).split(separator: ".") {
                    #expect(
                        part == "init" || declared.contains(String(part)),
                        "line \(row.line): nothing is called \(symbol)")
                }
            }
        }
    }

    @Test func everyTestExists() throws {
        let sources = try Repository.files().filter { $0.path.hasPrefix("Tests/") && $0.path.hasSuffix("Tests.swift") }
        for row in try Self.page.get() {
            for test in row.tests {
                let names = test.split(separator: ".").map(String.init)
                try #require(names.count == 2, "line \(row.line): \(test) is not Suite.function")
                let file = sources.first { $0.path.hasSuffix("/\(names[0]).swift") }
                let isThere = file?.lines.contains { line in
                    line.contains("func \(names[1])(") && !line.contains("private func")
                }
                #expect(isThere == true, "line \(row.line): there is no \(test)")
            }
        }
    }

    @Test func aRowIsUnderstood() throws {
        let rows = Self.rows([
            "| verb | Swift | test | rxe |", "| --- | --- | --- | --- |", "| `a` | `B.c(d:)` | `E.f` | yes |",
        ])
        let row = try #require(rows.first)
        #expect(rows.count == 1 && row.swift == ["B.c(d:)"] && row.tests == ["E.f"] && row.rxe.hasPrefix("yes"))
    }
}
