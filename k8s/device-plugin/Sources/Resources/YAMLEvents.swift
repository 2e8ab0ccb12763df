internal import CLibYAML

/// What libyaml finds in a text, one after the other.
@safe final class YAMLEvents {
    struct Event {
        let kind: Kind
        /// From 1.
        let line: Int
    }

    enum Kind {
        case scalar(String, isPlain: Bool)
        case alias
        case sequence
        case mapping
        /// Of a sequence, a mapping, or the text.
        case end
        /// The text begins, a document begins or ends.
        case mark
    }

    // libyaml keeps the addresses of both.
    private let parser = UnsafeMutablePointer<yaml_parser_t>.allocate(capacity: 1)
    private let text: UnsafeMutableBufferPointer<UInt8>

    init(_ text: String) throws(YAMLError) {
        unsafe self.text = .allocate(capacity: text.utf8.count)
        _ = unsafe self.text.initialize(fromContentsOf: text.utf8)
        guard unsafe yaml_parser_initialize(parser) == 1 else { throw Self.noMemory }
        unsafe yaml_parser_set_encoding(parser, YAML_UTF8_ENCODING)
        unsafe yaml_parser_set_input_string(parser, self.text.baseAddress, self.text.count)
    }

    deinit {
        // Zeros where it could not be initialised: then there is nothing to delete.
        unsafe yaml_parser_delete(parser)
        unsafe parser.deallocate()
        unsafe text.deallocate()
    }

    private static let noMemory = YAMLError(reason: "cannot be read: no memory is left")

    /// The next event. After the text's end, and after an error, there are none: do not ask.
    func next() throws(YAMLError) -> Event {
        var event = unsafe yaml_event_t()
        guard unsafe yaml_parser_parse(parser, &event) == 1 else { throw error }
        defer { unsafe yaml_event_delete(&event) }
        let line = unsafe Int(event.start_mark.line) + 1
        switch unsafe event.type {
        case YAML_SCALAR_EVENT:
            let scalar = unsafe event.data.scalar
            let bytes = unsafe UnsafeBufferPointer(start: scalar.value, count: scalar.length)
            let isPlain = unsafe scalar.style == YAML_PLAIN_SCALAR_STYLE && scalar.plain_implicit == 1
            return unsafe Event(kind: .scalar(String(decoding: bytes, as: UTF8.self), isPlain: isPlain), line: line)
        case YAML_ALIAS_EVENT: return Event(kind: .alias, line: line)
        case YAML_SEQUENCE_START_EVENT: return Event(kind: .sequence, line: line)
        case YAML_MAPPING_START_EVENT: return Event(kind: .mapping, line: line)
        case YAML_SEQUENCE_END_EVENT, YAML_MAPPING_END_EVENT, YAML_STREAM_END_EVENT:
            return Event(kind: .end, line: line)
        default: return Event(kind: .mark, line: line)
        }
    }

    private var error: YAMLError {
        guard let problem = unsafe parser.pointee.problem else { return Self.noMemory }
        // A byte that may not be in YAML has an offset instead of a mark.
        let isMarked = unsafe parser.pointee.error != YAML_READER_ERROR
        let line = unsafe isMarked ? Int(parser.pointee.problem_mark.line) + 1 : nil
        return unsafe YAMLError(reason: "is neither YAML nor JSON: \(String(cString: problem))", line: line)
    }
}
