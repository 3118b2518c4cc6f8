// Runs ONNX models with ONNX Runtime for package ort, which says what a request and its
// answer hold. Each line of the standard input is a request, each line of the standard
// output its answer; tensors travel in files of raw little-endian numbers.
'use strict';
const fs = require('node:fs');
const readline = require('node:readline');
const ort = require('onnxruntime-node');

const kinds = {float32: Float32Array, uint8: Uint8Array, int64: BigInt64Array};
let session;

function read(input) {
  const bytes = fs.readFileSync(input.file);
  const kind = kinds[input.type];
  const data = new kind(bytes.buffer.slice(bytes.byteOffset, bytes.byteOffset + bytes.byteLength));
  return new ort.Tensor(input.type, data, input.shape);
}

async function open(request) {
  if (session) await session.release();
  session = await ort.InferenceSession.create(request.open, {
    intraOpNumThreads: request.threads,
    interOpNumThreads: 1,
    executionMode: 'sequential',
    graphOptimizationLevel: 'all',
    logSeverityLevel: 3,
  });
  return {version: ort.env.versions.node, inputs: session.inputNames, outputs: session.outputNames};
}

async function run(request) {
  const feeds = {};
  for (const [name, input] of Object.entries(request.run)) feeds[name] = read(input);
  const begin = process.hrtime.bigint();
  const results = await session.run(feeds);
  const seconds = Number(process.hrtime.bigint() - begin) / 1e9;
  const tensors = {};
  for (const [name, result] of Object.entries(results)) {
    const file = request.folder + '/' + name + '.out';
    const data = result.data;
    fs.writeFileSync(file, new Uint8Array(data.buffer, data.byteOffset, data.byteLength));
    tensors[name] = {file, type: result.type, shape: result.dims.map(Number)};
  }
  return {seconds, tensors};
}

async function main() {
  for await (const line of readline.createInterface({input: process.stdin})) {
    let answer;
    try {
      const request = JSON.parse(line);
      answer = await (request.open ? open(request) : run(request));
    } catch (error) {
      answer = {error: String(error.message || error)};
    }
    process.stdout.write(JSON.stringify(answer) + '\n');
  }
}

main();
