internal import KafkaProtocol

// Who may do what is said where the broker is started, and not here: as Kafka without an authorizer.
extension KafkaDoor {
    private static var noAuthorizer: String { "No Authorizer is configured." }

    func describeAcls(_ request: DescribeAclsRequest, _ call: KafkaCall) {
        var response = DescribeAclsResponse()
        response.errorCode = .securityDisabled
        response.errorMessage = Self.noAuthorizer
        answer(call, response)
    }

    func createAcls(_ request: CreateAclsRequest, _ call: KafkaCall) {
        var response = CreateAclsResponse()
        response.results = request.creations.map { _ in
            var result = CreateAclsResponse.AclCreationResult()
            result.errorCode = .securityDisabled
            result.errorMessage = Self.noAuthorizer
            return result
        }
        answer(call, response)
    }

    func deleteAcls(_ request: DeleteAclsRequest, _ call: KafkaCall) {
        var response = DeleteAclsResponse()
        response.filterResults = request.filters.map { _ in
            var result = DeleteAclsResponse.DeleteAclsFilterResult()
            result.errorCode = .securityDisabled
            result.errorMessage = Self.noAuthorizer
            return result
        }
        answer(call, response)
    }
}
