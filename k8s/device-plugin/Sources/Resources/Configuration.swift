/// What a configuration file says.
package struct Configuration: Sendable, Equatable {
    /// In the order of the file; names are unique.
    package var resources: [ResourceDefinition]
    /// What an operator should know though it is no error: above all what differs from the plugin whose file this is.
    package var remarks: [String]
    private var isMellanox = false

    /// A configuration.
    package init(resources: [ResourceDefinition], remarks: [String] = []) {
        self.resources = resources
        self.remarks = remarks
    }

    /// No file is larger: a ConfigMap holds no more.
    package static let bytesMax = 1 << 20
    /// Shares of a device, and seats.
    package static let sharesMax = 10_000
    /// Shares of all devices of a resource: at most 82 bytes each in a message of at most 4 MiB.
    package static let entriesMax = 50_000

    /// Reads a file's text, ours (YAML or JSON) or that of Mellanox's k8s-rdma-shared-dev-plugin.
    /// - Throws: ``ConfigurationErrors`` with everything that is wrong.
    package init(_ text: String, file: String) throws(ConfigurationErrors) {
        let reader = try ConfigurationReader(text, file: file)
        self =
            reader.isMellanox
            ? try MellanoxConfiguration.read(reader, file: file) : try NativeConfiguration.read(reader, file: file)
        isMellanox = reader.isMellanox
    }

    /// Where in the file a resource's name is.
    package func nameField(_ index: Int) -> String {
        isMellanox ? "configList[\(index)].resourceName" : "resources[\(index)].name"
    }
}

/// Everything that is wrong with a file.
package struct ConfigurationErrors: Error, Equatable, CustomStringConvertible {
    /// Where it is.
    package var file: String
    /// In the order of the file.
    package var errors: [Entry]

    /// Errors of a file.
    package init(file: String, errors: [Entry]) {
        self.file = file
        self.errors = errors
    }

    /// One thing that is wrong.
    package struct Entry: Sendable, Equatable {
        /// `resources[0].selectors[1].vendors[0]`; empty for the file as a whole.
        package var field: String
        /// Why it is refused.
        package var reason: String
        /// From 1.
        package var line: Int?

        /// An error.
        package init(field: String, reason: String, line: Int? = nil) {
            self.field = field
            self.reason = reason
            self.line = line
        }
    }

    /// Lines `FILE: FIELD: REASON (line N)`.
    package var description: String {
        errors.map { entry in
            let place = entry.field.isEmpty ? file : "\(file): \(entry.field)"
            return "\(place): \(entry.reason)" + (entry.line.map { " (line \($0))" } ?? "")
        }.joined(separator: "\n")
    }
}
