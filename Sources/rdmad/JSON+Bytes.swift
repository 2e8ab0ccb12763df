import KafkaFrontend

extension JSON {
    /// A field for bytes that should be text: null when there are none, and in base 64, under the name with `Base64`
    /// behind it, when they are not UTF-8.
    static func field(_ name: String, _ bytes: (some Collection<UInt8>)?) -> (name: String, value: JSON) {
        guard let bytes else { return (name, .null) }
        guard let text = String(validating: bytes, as: UTF8.self) else {
            return (name + "Base64", .text(Base64.encode(Array(bytes))))
        }
        return (name, .text(text))
    }
}
