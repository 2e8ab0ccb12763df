/// The JSON of Mellanox's k8s-rdma-shared-dev-plugin 1.5, so that a cluster can switch by changing the image.
///
/// Its rules, too: field names in any case, fields that it does not know ignored, `null` as if not there.
enum MellanoxConfiguration {
    static func read(_ reader: ConfigurationReader, file: String) throws(ConfigurationErrors) -> Configuration {
        var reader = reader
        var remarks = [
            "a container that asks for 1 gets 1 device, not all of the resource: ask for as many as it shall use",
            "links are not set up at the start: a link that is down makes its device unhealthy",
        ]
        let fields = goFields(reader.root, known: ["periodicUpdateInterval", "configList"], &reader, &remarks)
        if let interval = fields["periodicUpdateInterval"],
            let seconds = reader.integer(interval, in: 0...Int(Int32.max))
        {
            remarks.append(
                "periodicUpdateInterval \(seconds) is not used: changes are seen as they happen (--poll-interval)")
        }
        let list = fields["configList"].map { reader.elements($0) } ?? []
        if list.isEmpty, reader.errors.isEmpty {
            reader.refuse(
                fields["configList"] ?? .init(node: reader.root.node, path: "configList"),
                "is empty: it names no resource")
        }
        var resources: [ResourceDefinition] = []
        var taken: [String: String] = [:]
        for value in list {
            guard let resource = resource(value, &taken, &reader, &remarks) else { continue }
            resources.append(resource)
        }
        guard reader.errors.isEmpty else { throw ConfigurationErrors(file: file, errors: reader.errors) }
        return Configuration(resources: resources, remarks: remarks)
    }

    private static let selectorFields: [Selector.Field] = [.vendors, .deviceIDs, .drivers, .ifNames, .linkTypes]

    private static func resource(
        _ value: ConfigurationReader.Value, _ taken: inout [String: String], _ reader: inout ConfigurationReader,
        _ remarks: inout [String]
    ) -> ResourceDefinition? {
        let known = ["resourceName", "resourcePrefix", "rdmaHcaMax", "devices", "selectors"]
        let fields = goFields(value, known: known, &reader, &remarks)
        let at = { (name: String) in
            fields[name] ?? ConfigurationReader.Value(node: value.node, path: "\(value.path).\(name)")
        }
        let name = fields["resourceName"].flatMap { reader.string($0) } ?? ""
        if name.isEmpty || !name.allSatisfy({ $0.isASCII && ($0.isLetter || $0.isNumber || $0 == "_") }) {
            reader.refuse(at("resourceName"), "'\(name)' is not made of letters, digits and '_'")
        } else if let other = taken[name] {
            // Its rule: unique whatever the prefixes are.
            reader.refuse(at("resourceName"), "'\(name)' is taken by \(other)")
        }
        taken[name] = value.path
        var prefix = fields["resourcePrefix"].flatMap { reader.string($0) } ?? ""
        if prefix.isEmpty { prefix = "rdma" }
        let fullName = "\(prefix)/\(name)"
        if let reason = ResourceName.reasonAgainst(fullName), !name.isEmpty {
            remarks.append("\(at("resourcePrefix").path): \(reason)")
        }
        let shares = fields["rdmaHcaMax"].flatMap { reader.integer($0, in: 0...Configuration.sharesMax) } ?? 0
        let selectors = selector(at("selectors"), isGiven: fields["selectors"] != nil, &reader, &remarks)
        let devices = fields["devices"].map { literals($0, &reader) } ?? []
        if selectors.isEmpty, devices.isEmpty {
            reader.refuse(value, "has neither 'selectors' nor 'devices'")
        } else if !selectors.isEmpty, !devices.isEmpty {
            reader.refuse(at("devices"), "does not go with 'selectors': give one of them")
        }
        let selector = Selector(devices.isEmpty ? selectors : [(.ifNames, devices)])
        remarks.append(
            shares == 0
                ? "\(fullName): rdmaHcaMax is 0: there is nothing to hand out"
                : "\(fullName): rdmaHcaMax \(shares) counts per device, not for the resource: the node shows "
                    + "\(shares) for each device that matches")
        return ResourceDefinition(name: fullName, kind: .devices(rules(selector, shares)))
    }

    private static func rules(_ selector: Selector, _ shares: Int) -> ResourceDefinition.DeviceRules {
        var rules = ResourceDefinition.DeviceRules(selectors: [selector], shares: shares)
        // It hands out whatever character device there is.
        rules.includesManagement = true
        return rules
    }

    private static func selector(
        _ value: ConfigurationReader.Value, isGiven: Bool, _ reader: inout ConfigurationReader,
        _ remarks: inout [String]
    ) -> [(field: Selector.Field, patterns: [Pattern])] {
        guard isGiven else { return [] }
        let fields = goFields(value, known: selectorFields.map(\.rawValue), &reader, &remarks)
        return selectorFields.compactMap { field in
            guard let values = fields[field.rawValue] else { return nil }
            let patterns = literals(values, &reader)
            return patterns.isEmpty ? nil : (field, patterns)
        }
    }

    /// It compares whole strings.
    private static func literals(
        _ value: ConfigurationReader.Value, _ reader: inout ConfigurationReader
    ) -> [Pattern] {
        reader.elements(value).compactMap { reader.string($0).map { Pattern(literal: $0) } }
    }

    /// The fields of an object as Go's encoding/json finds them.
    private static func goFields(
        _ value: ConfigurationReader.Value, known: [String], _ reader: inout ConfigurationReader,
        _ remarks: inout [String]
    ) -> [String: ConfigurationReader.Value] {
        var found: [String: ConfigurationReader.Value] = [:]
        for (name, member) in reader.members(value) ?? [] {
            guard let field = known.first(where: { $0.lowercased() == name.lowercased() }) else {
                remarks.append("\(member.path): is no field of that format and ignored")
                continue
            }
            if !member.isNull { found[field] = member }
        }
        return found
    }
}
