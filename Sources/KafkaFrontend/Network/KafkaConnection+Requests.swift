internal import KafkaProtocol

extension KafkaConnection {
    /// Reads a request, and answers it or hands it on.
    /// - Parameter frame: Where `bytes` can stay; nil: they are gone when this returns.
    func handle(_ bytes: UnsafeRawBufferPointer, _ frame: ReceivedFrame?) throws(WireError) {
        loop.counters.requests.count()
        if receiver.hasBareTokens { return unsafe take(bareToken: Array(bytes)) }
        let request = unsafe try RequestFrame(bytes)
        let header = request.header
        clientID = header.clientId ?? ""
        if header.api == .apiVersions { return try answerApiVersions(request) }
        guard let api = header.api, header.isKnown, api.advertised?.contains(header.apiVersion) == true else {
            let name = header.api?.name ?? "API \(header.apiKey)"
            return refuse("\(name) v\(header.apiVersion) is not served")
        }
        if api == .saslHandshake { return try takeHandshake(request) }
        if api == .saslAuthenticate { return try takeAuthenticate(request) }
        guard authentication.isOver else { return refuse("\(api.name) before the client has said who it is") }
        let body: KafkaCommand.Body
        let share: RequestShare
        switch api {
        case .produce:
            guard let frame else { preconditionFailure("Produce requests are received into memory that stays") }
            let produce = try request.body(ProduceRequest.self)
            let batches = unsafe ProduceBatches.check(
                produce, version: header.apiVersion, in: bytes, bytesMax: loop.limits.batchBytesMax,
                inspector: loop.inspector)
            share = loop.queuedBatches.take(RequestAccount.bytes(ofBatches: batches.count))
            body = .produce(produce, clientID: clientID, batches: batches, memory: frame)
        case .fetch:
            guard isAllowed(api, bytes.count, NetworkConfiguration.fetchRequestBytesMax) else { return }
            share = loop.queued.take(RequestAccount.bytes(ofRequest: bytes.count))
            body = .fetch(Self.withoutRest(try request.body(FetchRequest.self)), clientID: clientID)
        default:
            guard isAllowed(api, bytes.count, NetworkConfiguration.otherRequestBytesMax) else { return }
            share = loop.queued.take(RequestAccount.bytes(ofRequest: bytes.count))
            body = .request(try request.anyBody(api), clientID: clientID)
        }
        hand(body, version: header.apiVersion, correlationID: header.correlationId, share: share)
    }

    /// Whether a request is short enough; the connection ends where it is not. Its memory goes back at once, and what
    /// was read of it is in nobody's books.
    private func isAllowed(_ api: ApiKey, _ byteCount: Int, _ bytesMax: Int) -> Bool {
        guard byteCount > bytesMax else { return true }
        refuse("\(api.name) of \(byteCount) bytes: no more than \(bytesMax) are taken")
        return false
    }

    /// What is served of a fetch: it may wait for minutes, and the rest only takes memory. What a session shall forget
    /// where it goes on with none; topics without partitions, which Kafka leaves out of its answer, too; replicas
    /// elsewhere.
    private static func withoutRest(_ request: consuming FetchRequest) -> FetchRequest {
        if request.sessionEpoch == 0 || request.sessionEpoch == -1 { request.forgottenTopicsData = [] }
        request.topics.removeAll { $0.partitions.isEmpty }
        request.rackId = ""
        request.clusterId = nil
        return request
    }

    /// Adds the answer to a request that needs no reactor.
    func answer(
        _ response: some KafkaResponse, version: Int16, to header: RequestHeader
    ) throws(WireError) {
        let frame = try Self.frame(response, version: version, correlationID: header.correlationId)
        let number = ring.add(version: version, correlationID: header.correlationId)
        ring.fill(number, .frame(frame))
    }

    private func answerApiVersions(_ request: consuming RequestFrame) throws(WireError) {
        let header = request.header
        var response = ApiVersionsResponse()
        guard header.isKnown else {
            response.errorCode = .unsupportedVersion
            response.apiKeys = [Self.row(.apiVersions)]
            return try answer(response, version: 0, to: header)
        }
        let body = try request.body(ApiVersionsRequest.self)
        if header.apiVersion >= 3, !Self.isName(body.clientSoftwareName) || !Self.isName(body.clientSoftwareVersion) {
            response.errorCode = .invalidRequest
        } else {
            response.apiKeys = ApiKey.allCases.filter { $0.advertised != nil }.map(Self.row)
        }
        try answer(response, version: header.apiVersion, to: header)
    }

    private static func row(_ api: ApiKey) -> ApiVersionsResponse.ApiVersion {
        var row = ApiVersionsResponse.ApiVersion()
        row.apiKey = api.rawValue
        row.minVersion = api.advertised?.lowerBound ?? 0
        row.maxVersion = api.advertised?.upperBound ?? 0
        return row
    }

    /// Letters, digits, dots and dashes, and neither of the latter at an end: what Kafka takes for a client's name.
    private static func isName(_ name: String) -> Bool {
        func isAlphanumeric(_ c: UInt8) -> Bool {
            switch c {
            case UInt8(ascii: "0")...UInt8(ascii: "9"), UInt8(ascii: "a")...UInt8(ascii: "z"),
                UInt8(ascii: "A")...UInt8(ascii: "Z"):
                true
            default: false
            }
        }
        guard let first = name.utf8.first, let last = name.utf8.last else { return false }
        return isAlphanumeric(first) && isAlphanumeric(last)
            && name.utf8.allSatisfy { isAlphanumeric($0) || $0 == UInt8(ascii: ".") || $0 == UInt8(ascii: "-") }
    }

    static func encode(
        _ body: KafkaAnswer.Body, for slot: AnswerRing.Slot
    ) throws(WireError) -> AnswerRing.Answer {
        switch body {
        case .nothing, .close: .frame([])
        case .produce(let response):
            .frame(try EncodedFrame(response, version: slot.version, correlationId: slot.correlationID).bytes)
        case .fetch(let response, let ranges):
            .fetch(
                try EncodedFrame(response, version: slot.version, correlationId: slot.correlationID), ranges: ranges)
        case .response(let response):
            .frame(try frame(response, version: slot.version, correlationID: slot.correlationID))
        }
    }

    static func frame(
        _ response: some KafkaResponse, version: Int16, correlationID: Int32
    ) throws(WireError) -> [UInt8] {
        try EncodedFrame(response, version: version, correlationId: correlationID).bytes
    }
}
