import Foundation
import Testing

/// The articles of RDMATransport say what is so.
@Suite struct ArticleTests {
    static let catalog = Repository.root.appendingPathComponent("Sources/RDMATransport/RDMATransport.docc")

    func article(_ name: String) throws -> String {
        try String(contentsOf: Self.catalog.appendingPathComponent(name), encoding: .utf8)
    }

    /// The program of the article is the example that is built and run.
    @Test func theEchoIsTheExample() throws {
        let example = Repository.root.appendingPathComponent("Examples/Echo/main.swift")
        let program = try String(contentsOf: example, encoding: .utf8)
        #expect(try article("ZeroToEcho.md").contains("```swift\n\(program)```\n"))
        let lines = program.split(separator: "\n").filter { !$0.drop { $0 == " " }.hasPrefix("//") }
        #expect(lines.count <= 60, "\(lines.count) lines of code")
    }

    /// What is written as a symbol is declared somewhere in the module.
    @Test(arguments: ["RDMATransport.md", "MemoryAndOwnership.md", "Errors.md", "VerbToSwift.md"])
    func symbolsExist(_ name: String) throws {
        let declared = try Self.declared.get()
        let symbols = try article(name).matches(of: /``([^`\n]+)``/).map { String($0.1) }
        #expect(symbols.count > 5)
        for symbol in symbols where symbol != "RDMATransport" {
            for part in symbol.split(separator: "/") {
                let base = String(part.prefix { $0 != "(" })
                #expect(base == "init" || declared.contains(base), "\(name) names \(symbol): nothing is called \(base)")
            }
        }
    }

    /// Every word of the module that follows a keyword which declares it.
    static let declared = Result {
        let keywords: Set<Substring> = ["struct", "class", "enum", "case", "func", "var", "let", "protocol"]
        let folder = Repository.root.appendingPathComponent("Sources/RDMATransport").path
        var names: Set<String> = []
        for case let path as String in FileManager.default.enumerator(atPath: folder)! where path.hasSuffix(".swift") {
            let text = try String(contentsOfFile: "\(folder)/\(path)", encoding: .utf8)
            for line in text.split(separator: "\n") {
                let words = line.split { !($0.isLetter || $0.isNumber || $0 == "_") }
                for (keyword, name) in zip(words, words.dropFirst()) where keywords.contains(keyword) {
                    names.insert(String(name))
                }
            }
        }
        return names
    }
}
