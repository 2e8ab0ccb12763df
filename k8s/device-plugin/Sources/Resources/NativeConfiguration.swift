/// Our own format, strict: what is not known is refused.
enum NativeConfiguration {
    static func read(_ reader: ConfigurationReader, file: String) throws(ConfigurationErrors) -> Configuration {
        var reader = reader
        let fields = reader.fields(reader.root, known: ["version", "resources"])
        require("version", in: fields, of: reader.root, &reader)
        if let version = fields["version"], let text = reader.string(version), text != "v1" {
            reader.refuse(version, "must be v1, is '\(text)'")
        }
        require("resources", in: fields, of: reader.root, &reader)
        let list = fields["resources"].map { reader.elements($0) } ?? []
        if let value = fields["resources"], list.isEmpty, reader.errors.isEmpty {
            reader.refuse(value, "is empty: it names no resource")
        }
        var resources: [ResourceDefinition] = []
        for value in list {
            guard let resource = resource(value, &reader) else { continue }
            resources.append(resource)
        }
        refuseDuplicates(list, &reader)
        guard reader.errors.isEmpty else { throw ConfigurationErrors(file: file, errors: reader.errors) }
        return Configuration(resources: resources)
    }

    private static let common = ["name", "seats"]
    private static let device = ["selectors", "shares", "exclusive", "health", "preferred", "userspaceMAD"]

    private static func resource(
        _ value: ConfigurationReader.Value, _ reader: inout ConfigurationReader
    ) -> ResourceDefinition? {
        guard case .mapping = value.node.content else {
            reader.refuse(value, "must be a mapping with at least 'name'")
            return nil
        }
        let fields = reader.fields(value, known: common + device)
        require("name", in: fields, of: value, &reader)
        let name = fields["name"].flatMap { reader.string($0) }
        if let name, let reason = ResourceName.reasonAgainst(name) {
            reader.refuse(fields["name"] ?? value, reason.description)
        }
        if let seats = fields["seats"] {
            for field in device {
                if let other = fields[field] { reader.refuse(other, "does not go with 'seats', which are no devices") }
            }
            let count = reader.integer(seats, in: 1...Configuration.sharesMax)
            return count.flatMap { count in name.map { ResourceDefinition(name: $0, kind: .seats(count)) } }
        }
        let rules = rules(value, fields, &reader)
        return name.map { ResourceDefinition(name: $0, kind: .devices(rules)) }
    }

    private static func rules(
        _ value: ConfigurationReader.Value, _ fields: [String: ConfigurationReader.Value],
        _ reader: inout ConfigurationReader
    ) -> ResourceDefinition.DeviceRules {
        if fields["selectors"] == nil {
            reader.refuse(value, "needs 'selectors' ([{rdmaDevices: [\"*\"]}] takes every device), or 'seats'")
        }
        let list = fields["selectors"].map { reader.elements($0) } ?? []
        if let selectors = fields["selectors"], case .sequence = selectors.node.content, list.isEmpty {
            reader.refuse(selectors, "is empty, it would select nothing")
        }
        var rules = ResourceDefinition.DeviceRules(selectors: list.map { selector($0, &reader) }, shares: nil)
        rules.shares = fields["shares"].flatMap { reader.integer($0, in: 1...Configuration.sharesMax) }
        if let exclusive = fields["exclusive"], reader.bool(exclusive) == true, let shares = fields["shares"] {
            reader.refuse(shares, "does not go with 'exclusive: true': give one of them")
        }
        rules.health = fields["health"].flatMap { reader.word($0, of: HealthPolicy.self) } ?? .anyPort
        rules.preference = fields["preferred"].flatMap { reader.word($0, of: Preference.self) } ?? .pack
        rules.includesManagement = fields["userspaceMAD"].flatMap { reader.bool($0) } ?? false
        return rules
    }

    private static func selector(
        _ value: ConfigurationReader.Value, _ reader: inout ConfigurationReader
    ) -> Selector {
        let known = Selector.Field.allCases.map(\.rawValue)
        guard let members = reader.members(value) else { return Selector([]) }
        if members.isEmpty { reader.refuse(value, "is empty: give at least one of \(known.joined(separator: ", "))") }
        var fields: [(field: Selector.Field, patterns: [Pattern])] = []
        for (name, member) in members {
            guard let field = Selector.Field(rawValue: name) else {
                reader.refuse(member, "is no field here, these are: \(known.joined(separator: ", "))")
                continue
            }
            let errors = reader.errors.count
            let values = reader.elements(member)
            if values.isEmpty, reader.errors.count == errors {
                reader.refuse(member, "is empty, it would match nothing")
            }
            fields.append((field, values.compactMap { pattern($0, field, &reader) }))
        }
        return Selector(fields)
    }

    private static func pattern(
        _ value: ConfigurationReader.Value, _ field: Selector.Field, _ reader: inout ConfigurationReader
    ) -> Pattern? {
        guard let text = reader.string(value) else { return nil }
        do throws(Reason) {
            let pattern = try Pattern(field.ignoresCase && !text.hasPrefix("~") ? text.lowercased() : text)
            if pattern.isLiteral { try field.check(pattern.source) }
            return pattern
        } catch {
            reader.refuse(value, error.description)
            return nil
        }
    }

    private static func require(
        _ name: String, in fields: [String: ConfigurationReader.Value], of value: ConfigurationReader.Value,
        _ reader: inout ConfigurationReader
    ) {
        if fields[name] == nil {
            reader.refuse(
                .init(node: value.node, path: value.path.isEmpty ? name : "\(value.path).\(name)"), "is missing")
        }
    }

    private static func refuseDuplicates(_ list: [ConfigurationReader.Value], _ reader: inout ConfigurationReader) {
        var first: [String: String] = [:]
        for value in list {
            guard let node = value.node["name"], case .scalar(let name, _) = node.content else { continue }
            // What the runtime's device interface makes of the name must be unique too.
            let key = CDISpec.kind(name)
            if let other = first[key] {
                reader.refuse(.init(node: node, path: "\(value.path).name"), "'\(name)' is taken by \(other)")
            } else {
                first[key] = value.path
            }
        }
    }
}

extension Selector.Field {
    /// Whether values are compared in lower case.
    var ignoresCase: Bool {
        switch self {
        case .vendors, .deviceIDs, .pciAddresses, .linkLayers, .portStates: true
        default: false
        }
    }

    /// Refuses a value that no device can have.
    func check(_ value: String) throws(Reason) {
        switch self {
        case .vendors, .deviceIDs:
            guard value.count == 4, value.allSatisfy(\.isHexDigit) else {
                throw Reason("'\(value)' is not four hexadecimal digits, as in 15b3")
            }
        case .linkLayers, .portStates:
            guard let values, values.contains(value) else {
                throw Reason("must be \((values ?? []).joined(separator: " or ")), is '\(value)'")
            }
        default: break
        }
    }
}
