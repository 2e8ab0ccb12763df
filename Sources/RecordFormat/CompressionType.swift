/// How a batch's records are compressed: bits 0-2 of its attributes, by Kafka's numbers and names.
public enum CompressionType: Int16, Sendable, Hashable, CaseIterable, CustomStringConvertible {
    /// As they are.
    case none = 0
    /// RFC 1952.
    case gzip = 1
    /// Snappy's blocks in the framing of xerial's snappy-java.
    case snappy = 2
    /// LZ4's frame format.
    case lz4 = 3
    /// RFC 8878.
    case zstd = 4

    /// The type of a name, as in Kafka's `compression.type`; nil when there is none.
    public init?(name: String) {
        guard let found = Self.allCases.first(where: { $0.description == name }) else { return nil }
        self = found
    }

    /// Kafka's name.
    public var description: String {
        switch self {
        case .none: "none"
        case .gzip: "gzip"
        case .snappy: "snappy"
        case .lz4: "lz4"
        case .zstd: "zstd"
        }
    }
}
