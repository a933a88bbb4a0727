module bulkhead.test/certificate-judge

go 1.26.0
