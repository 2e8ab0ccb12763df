import Foundation

/// Which way the arrows between modules point (docs/ARCHITECTURE.md).
enum ImportRules {
    /// What each module of `Sources` may import. Swift's own check misses what comes through another module.
    static let allowed: [String: Set<String>] = [
        "CCodecs": [],
        "CLinux": [],
        "CVerbs": [],
        "RDMATransport": ["CLinux", "CVerbs", "Glibc", "Synchronization"],
        "RecordFormat": ["CLinux"],
        "Compression": ["CCodecs", "RecordFormat"],
        "TopicProtocol": [],
        "KafkaProtocol": [],
        "TopicLog": ["CLinux", "Glibc", "RecordFormat", "Synchronization"],
        "BrokerCore": ["RecordFormat", "TopicLog", "TopicProtocol"],
        "Reactor": ["BrokerCore", "CLinux", "Glibc", "Logging", "Synchronization", "TopicProtocol"],
        "FabricFrontend": [
            "BrokerCore", "CLinux", "Compression", "Glibc", "Logging", "RDMATransport", "Reactor", "RecordFormat",
            "Synchronization", "TopicLog", "TopicProtocol",
        ],
        "KafkaFrontend": [
            "BrokerCore", "CLinux", "Compression", "Crypto", "Glibc", "KafkaProtocol", "Logging", "NIOCore", "NIOPosix", "NIOSSL",
            "OrderedCollections", "Reactor", "RecordFormat", "Synchronization", "TopicLog", "TopicProtocol",
        ],
        "RdmadClient": [
            "CLinux", "Compression", "Glibc", "RDMATransport", "RecordFormat", "Synchronization", "TopicProtocol",
        ],
        "rdmad": [
            "ArgumentParser", "BrokerCore", "CLinux", "Compression", "FabricFrontend", "Glibc",
            "KafkaFrontend", "Logging", "RDMATransport", "RdmadClient", "Reactor", "RecordFormat", "Synchronization",
            "TopicLog", "TopicProtocol", "TransportBench",
        ],
        "TransportBench": ["CLinux", "Glibc", "RDMATransport"],
        // The device plugin, k8s/device-plugin.
        "CLibYAML": [],
        "CNetlink": [],
        "Inventory": ["CNetlink", "Glibc", "Synchronization"],
        "Resources": ["CLibYAML", "Inventory"],
        "KubeletAPI": ["GRPCCore", "GRPCProtobuf", "SwiftProtobuf"],
        "DevicePlugin": [
            "CNetlink", "GRPCCore", "GRPCNIOTransportHTTP2Posix", "Glibc", "Inventory", "KubeletAPI", "Logging",
            "NIOCore",
            "NIOHTTP1", "NIOPosix", "Resources", "Synchronization",
        ],
        "rdmad-device-plugin": [
            "ArgumentParser", "CNetlink", "DevicePlugin", "Dispatch", "Glibc", "Inventory", "Logging", "Resources",
        ],
    ]

    static let imports = Rule(
        name: "imports", applies: { $0.hasPrefix("Sources/") && $0.hasSuffix(".swift") },
        check: { file in
            guard let module = file.module, let allowed = allowed[module] else {
                return [file.violation(0, "the module is not in ImportRules.allowed: say what it may import")]
            }
            return file.code.enumerated().compactMap { index, line in
                guard let name = importedModule(line), !allowed.contains(name) else { return nil }
                return file.violation(index + 1, "\(module) may not import \(name)")
            }
        })

    /// The module that a line imports, or nil.
    static func importedModule(_ line: String) -> String? {
        var words = line.split(separator: " ").map(String.init)[...]
        while let word = words.first, word != "import" {
            guard ["public", "package", "internal", "fileprivate", "private"].contains(word) || word.hasPrefix("@")
            else {
                return nil
            }
            words.removeFirst()
        }
        words = words.dropFirst()
        if let kind = words.first,
            ["struct", "class", "enum", "func", "protocol", "typealias", "var", "let"].contains(kind)
        {
            words.removeFirst()
        }
        return words.first.map { String($0.prefix { $0 != "." }) }
    }

    /// What the manifest lets a module depend on beyond ``allowed``.
    static func manifestViolations(_ manifest: String) throws -> [Violation] {
        let declared = try declaredDependencies(manifest)
        return declared.sorted { $0.key < $1.key }.compactMap { name, dependencies in
            guard let allowed = allowed[name] else { return nil }
            let excess = dependencies.subtracting(allowed).sorted()
            guard !excess.isEmpty else { return nil }
            return Violation(
                path: "Package.swift", line: 0, message: "\(name) may not depend on \(excess.joined(separator: ", "))")
        }
    }

    /// Targets of a manifest with the names that their dependencies mention.
    static func declaredDependencies(_ manifest: String) throws -> [String: Set<String>] {
        let target = try NSRegularExpression(
            pattern: #"\.(?:target|executableTarget)\(\s*name: "(\w+)",\s*dependencies: \[(.*?)\]"#,
            options: [.dotMatchesLineSeparators])
        let product = try NSRegularExpression(pattern: #"package: "[^"]*""#)
        let name = try NSRegularExpression(pattern: #""([^"]+)""#)
        func groups(_ expression: NSRegularExpression, _ text: String) -> [[String]] {
            expression.matches(in: text, range: NSRange(text.startIndex..., in: text)).map { match in
                (1..<match.numberOfRanges).map { Range(match.range(at: $0), in: text).map { String(text[$0]) } ?? "" }
            }
        }
        var result: [String: Set<String>] = [:]
        for found in groups(target, manifest) {
            let list = product.stringByReplacingMatches(
                in: found[1], range: NSRange(found[1].startIndex..., in: found[1]), withTemplate: "")
            result[found[0]] = Set(groups(name, list).map { $0[0] })
        }
        return result
    }
}
