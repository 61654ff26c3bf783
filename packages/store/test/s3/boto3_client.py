"""boto3 against the server of argv[1] (JSON: endpoint, bucket, accessKey, secretKey, sessionToken). Prints what it saw as JSON."""
import io
import json
import os
import sys

import boto3
from boto3.s3.transfer import TransferConfig
from botocore.config import Config
from botocore.exceptions import ClientError

access = json.loads(os.environ["ACCESS"])
bucket = access["bucket"]


def client(**config):
    return boto3.client(
        "s3", endpoint_url=access["endpoint"], region_name="us-east-1", aws_access_key_id=access["accessKey"], aws_secret_access_key=access["secretKey"],
        aws_session_token=access["sessionToken"], config=Config(retries={"max_attempts": 0}, **config),
    )


def error(call):
    try:
        call()
        return None
    except ClientError as refused:
        return refused.response["Error"]["Code"]


s3 = client(s3={"addressing_style": "path"})
saw = {}
s3.put_object(Bucket=bucket, Key="boto/ä b+c.txt", Body=b"hello", Metadata={"a": "b"}, ContentType="text/x")
got = s3.get_object(Bucket=bucket, Key="boto/ä b+c.txt")
saw["object"] = [got["Body"].read().decode(), got["Metadata"], got["ContentType"]]

content = os.urandom(12 * 1024 * 1024 + 1)
s3.upload_fileobj(io.BytesIO(content), bucket, "boto/big", Config=TransferConfig(multipart_threshold=5 * 1024 * 1024, multipart_chunksize=5 * 1024 * 1024))
back = io.BytesIO()
s3.download_fileobj(bucket, "boto/big", back, Config=TransferConfig(multipart_threshold=5 * 1024 * 1024, multipart_chunksize=5 * 1024 * 1024))
saw["big"] = back.getvalue() == content
s3.copy({"Bucket": bucket, "Key": "boto/big"}, bucket, "boto/copy")
saw["copy"] = s3.head_object(Bucket=bucket, Key="boto/copy")["ContentLength"] == len(content)

for i in range(25):
    s3.put_object(Bucket=bucket, Key=f"pages/{i:02} x", Body=b"")
saw["pages"] = [entry["Key"] for page in s3.get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix="pages/", PaginationConfig={"PageSize": 7}) for entry in page["Contents"]]
saw["old pages"] = [entry["Key"] for page in s3.get_paginator("list_objects").paginate(Bucket=bucket, Prefix="pages/", PaginationConfig={"PageSize": 7}) for entry in page["Contents"]]
saw["folders"] = [entry["Prefix"] for entry in s3.list_objects_v2(Bucket=bucket, Delimiter="/")["CommonPrefixes"]]
s3.delete_objects(Bucket=bucket, Delete={"Objects": [{"Key": key} for key in saw["pages"]]})
saw["left"] = s3.list_objects_v2(Bucket=bucket, Prefix="pages/")["KeyCount"]

saw["errors"] = [
    error(lambda: s3.get_object(Bucket=bucket, Key="none")),
    error(lambda: s3.head_object(Bucket=bucket, Key="none")),
    error(lambda: s3.list_objects_v2(Bucket="no-such-bucket")),
    error(lambda: s3.get_object(Bucket=bucket, Key="boto/big", Range="bytes=99999999-")),
    error(lambda: s3.get_object_acl(Bucket=bucket, Key="boto/big")),
    error(lambda: s3.put_object(Bucket=bucket, Key="x", Body=b"x", ContentMD5="1B2M2Y8AsgTpgAmY7PhCfg==")),
]
access["secretKey"] += "x"
saw["errors"].append(error(lambda: client().list_buckets()))
print(json.dumps(saw))
