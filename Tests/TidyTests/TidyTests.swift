import Testing

/// The tree keeps its style. Each test reports every new place; ``KnownViolations`` holds those still to be mended.
@Suite struct TidyTests {
    static let files = Result { try Repository.files() }

    /// Runs a rule over the tree.
    static func check(_ rule: Rule, at location: SourceLocation = #_sourceLocation) throws {
        let all = try files.get()
        try #require(all.contains { $0.path == "Package.swift" }, "this is not the tree")
        let looked = all.filter { rule.applies(Repository.inPackage($0.path)) }
        #expect(!looked.isEmpty, "the rule looks at nothing", sourceLocation: location)
        for file in looked {
            let found = rule.check(file)
            let known = KnownViolations.count(rule.name, file.path)
            guard found.count > known else { continue }
            let text = found.map(\.description).joined(separator: "\n")
            Issue.record("\(rule.name): \(found.count) here, \(known) known\n\(text)", sourceLocation: location)
        }
    }

    @Test func filesAreShort() throws { try Self.check(LengthRules.files) }
    @Test func functionsAreShort() throws { try Self.check(LengthRules.functions) }
    @Test func linesAreShort() throws { try Self.check(LengthRules.lines) }
    @Test func importsFollowTheArrows() throws { try Self.check(ImportRules.imports) }
    @Test func noBannedWords() throws { try Self.check(WordRules.banned) }
    @Test func noForeignWords() throws { try Self.check(WordRules.foreignWords) }
    @Test func shimsSayWhy() throws { try Self.check(DocumentationRules.shims) }
    @Test func uncheckedSendableSaysWhy() throws { try Self.check(DocumentationRules.unchecked) }
    @Test func linksLeadSomewhere() throws { try Self.check(DocumentationRules.links(exists: Repository.exists)) }

    @Test func visibleDeclarationsAreDocumented() throws {
        let sources = try Self.files.get().filter { $0.path.hasPrefix("Sources/") && $0.path.hasSuffix(".swift") }
        try Self.check(DocumentationRules.comments(witnessed: DocumentationRules.requirements(sources)))
    }

    @Test func theManifestFollowsTheArrows() throws {
        let manifest = try #require(try Self.files.get().first { $0.path == "Package.swift" })
        let text = manifest.lines.joined(separator: "\n")
        let declared = try ImportRules.declaredDependencies(text)
        #expect(
            declared["BrokerCore"] == ["RecordFormat", "TopicLog", "TopicProtocol"], "the manifest is not understood")
        for violation in try ImportRules.manifestViolations(text) { Issue.record("\(violation)") }
    }

    @Test func theArchitectureNamesEveryModule() throws {
        let page = try #require(try Self.files.get().first { $0.path == "docs/ARCHITECTURE.md" }).lines.joined()
        let modules = Set(try Self.files.get().compactMap(\.module))
        for module in modules {
            #expect(page.contains("`\(module)`"), "docs/ARCHITECTURE.md says nothing of \(module)")
        }
    }

    /// A fixed place must leave the list, so that it does not come back.
    @Test func knownViolationsNameFilesThatExist() {
        for path in KnownViolations.paths { #expect(Repository.exists(path), "\(path) is gone: take it off the list") }
    }
}
