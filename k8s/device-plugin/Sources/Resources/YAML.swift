internal import CLibYAML

/// A value of a YAML text; JSON is YAML. No type is guessed: whoever wants a number reads the scalar.
struct YAML: Sendable {
    /// What it is.
    let content: Content
    /// Where it begins, from 1.
    let line: Int

    enum Content: Sendable {
        /// Without quotes or a tag it is plain: only then may it be more than text.
        case scalar(String, isPlain: Bool)
        case sequence([YAML])
        case mapping([(key: String, value: YAML)])
    }

    /// The value of a field; nil in what is no mapping, too.
    subscript(_ key: String) -> YAML? {
        guard case .mapping(let members) = content else { return nil }
        return members.first { $0.key == key }?.value
    }

    /// The one document of a text; nil when there is none.
    static func document(_ text: String) throws(YAMLError) -> YAML? {
        try Composer(events: YAMLEvents(text)).document()
    }
}

/// Why a text is no YAML.
struct YAMLError: Error {
    var reason: String
    /// From 1.
    var line: Int?
}

/// Makes values of events.
private struct Composer {
    let events: YAMLEvents

    /// More than any configuration has, and little for the stack.
    private static let depthMax = 32

    func document() throws(YAMLError) -> YAML? {
        var root: YAML?
        while true {
            let event = try events.next()
            switch event.kind {
            case .mark: continue
            case .end: return root
            default:
                guard root == nil else { throw YAMLError(reason: "has a second document", line: event.line) }
                root = try value(event, depth: 0)
            }
        }
    }

    private func value(_ event: YAMLEvents.Event, depth: Int) throws(YAMLError) -> YAML {
        guard depth <= Self.depthMax else {
            throw YAMLError(reason: "is nested deeper than \(Self.depthMax)", line: event.line)
        }
        let content: YAML.Content
        switch event.kind {
        case .alias:
            // A few lines of aliases can stand for any amount of text.
            throw YAMLError(reason: "has an alias: write what it stands for in its place", line: event.line)
        case .scalar(let text, let isPlain): content = .scalar(text, isPlain: isPlain)
        case .sequence: content = try sequence(depth)
        case .mapping: content = try mapping(depth)
        case .mark, .end: preconditionFailure("libyaml's events are out of order")
        }
        return YAML(content: content, line: event.line)
    }

    private func sequence(_ depth: Int) throws(YAMLError) -> YAML.Content {
        var elements: [YAML] = []
        while true {
            let event = try events.next()
            if case .end = event.kind { return .sequence(elements) }
            elements.append(try value(event, depth: depth + 1))
        }
    }

    private func mapping(_ depth: Int) throws(YAMLError) -> YAML.Content {
        var members: [(key: String, value: YAML)] = []
        var keys: Set<String> = []
        while true {
            let event = try events.next()
            if case .end = event.kind { return .mapping(members) }
            guard case .scalar(let key, _) = try value(event, depth: depth + 1).content else {
                throw YAMLError(reason: "has a field whose name is no text", line: event.line)
            }
            guard keys.insert(key).inserted else {
                throw YAMLError(reason: "has the field '\(key)' twice", line: event.line)
            }
            members.append((key, try value(events.next(), depth: depth + 1)))
        }
    }
}
