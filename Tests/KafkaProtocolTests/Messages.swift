import KafkaProtocol

/// Every request of the codec; the response comes with it.
enum Messages {
    static let requests: [any KafkaRequest.Type] = [
        ProduceRequest.self, FetchRequest.self, ListOffsetsRequest.self, MetadataRequest.self,
        OffsetCommitRequest.self, OffsetFetchRequest.self, FindCoordinatorRequest.self, JoinGroupRequest.self,
        HeartbeatRequest.self, LeaveGroupRequest.self, SyncGroupRequest.self, DescribeGroupsRequest.self,
        ListGroupsRequest.self, SaslHandshakeRequest.self, ApiVersionsRequest.self, CreateTopicsRequest.self,
        DeleteTopicsRequest.self, DeleteRecordsRequest.self, InitProducerIdRequest.self,
        OffsetForLeaderEpochRequest.self, AddPartitionsToTxnRequest.self, AddOffsetsToTxnRequest.self,
        EndTxnRequest.self, WriteTxnMarkersRequest.self, TxnOffsetCommitRequest.self, DescribeAclsRequest.self,
        CreateAclsRequest.self, DeleteAclsRequest.self, DescribeConfigsRequest.self, AlterConfigsRequest.self,
        DescribeLogDirsRequest.self, SaslAuthenticateRequest.self, CreatePartitionsRequest.self,
        DeleteGroupsRequest.self, IncrementalAlterConfigsRequest.self, OffsetDeleteRequest.self,
        DescribeClusterRequest.self, DescribeProducersRequest.self, DescribeTransactionsRequest.self,
        ListTransactionsRequest.self, ConsumerGroupHeartbeatRequest.self, ConsumerGroupDescribeRequest.self,
    ]

    static func request(_ api: ApiKey) -> any KafkaRequest.Type { byApi[api]! }

    private static let byApi = Dictionary(uniqueKeysWithValues: requests.map { ($0.apiKey, $0) })
}

/// A request as a client writes it.
func encode<M: KafkaRequest>(
    _ request: M, version: Int16, correlationId: Int32, clientId: String?
) throws(WireError) -> EncodedFrame {
    var header = FieldWriter(.saslHandshake, version: 0)  // any that has no flexible versions
    header.append(Int32(0))
    header.append(M.apiKey.rawValue)
    header.append(version)
    header.append(correlationId)
    var name = clientId
    try header.string(&name)
    var writer = FieldWriter(M.apiKey, version: version)
    for byte in header.bytes { writer.append(byte) }
    if writer.isFlexible { writer.varint(0) }
    var request = request
    try writer.structure(&request)
    return try writer.frame()
}

/// A response as a client reads it.
func decode<M: KafkaResponse>(
    _: M.Type, version: Int16, _ frame: UnsafeRawBufferPointer
) throws(WireError) -> (correlationId: Int32, response: M) {
    var reader = unsafe FieldReader(frame)
    var correlationId: Int32 = 0
    try reader.integer(&correlationId)
    reader.api = M.apiKey
    reader.version = version
    reader.isFlexible = M.apiKey.isFlexible(version)
    if reader.isFlexible, M.apiKey != .apiVersions { try reader.unknownTags() }
    var response = M()
    try reader.structure(&response)
    try reader.finish()
    return (correlationId, response)
}

/// Runs on the part of a frame that follows its length prefix.
func withFrame<T>(
    _ bytes: [UInt8], _ body: (UnsafeRawBufferPointer) throws(WireError) -> T
) throws(WireError) -> T {
    let result = unsafe bytes.withUnsafeBytes { buffer in
        Result { () throws(WireError) in try unsafe body(UnsafeRawBufferPointer(rebasing: buffer.dropFirst(4))) }
    }
    return try result.get()
}
